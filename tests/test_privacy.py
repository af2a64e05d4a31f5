from db.models import Viewer
from db.pool import viewing
async def test_smoke(pool):
    async with viewing(pool, Viewer(1, 2)) as c:
        assert await c.fetchval("select session_user") == "keepsake_app"
        assert await c.fetch("select * from concept") == []
