-- A bot that is given the app role alone has to see whether the migrations it needs are there.

GRANT SELECT ON schema_migration TO keepsake_app;
