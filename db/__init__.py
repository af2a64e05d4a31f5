"""Every SQL statement, the migrations and the connections: the one room that knows Postgres."""
