-- postgres/basecoat-portal-db (basecoat-portal-db.example.internal:5432): as a superuser, on RDS as the master user:
--   runbookd grants TARGET | psql -X -v ON_ERROR_STOP=1 -h HOST -d DATABASE
DO $grants$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'runbookd') THEN
    CREATE ROLE "runbookd";
  END IF;
END $grants$;
ALTER ROLE "runbookd" LOGIN CONNECTION LIMIT 6;
-- Its password, without a trace in the server's log or the shell's history: psql's \password
-- No more than looking, and not for long, should something else ever sign in with it.
ALTER ROLE "runbookd" SET default_transaction_read_only = on;
ALTER ROLE "runbookd" SET statement_timeout = '15s';
ALTER ROLE "runbookd" SET idle_in_transaction_session_timeout = '15s';
GRANT CONNECT ON DATABASE "basecoat_db" TO "runbookd";
-- pg-idle-in-transaction: sig.pg_idle_in_transaction
-- pg-idle-in-transaction: act.pg_terminate
-- pg-connections-high: sig.pg_connections
-- pg-connections-high: act.pg_terminate
-- pg-connections-high: act.proxy_pool
-- pg-long-query: sig.pg_query_age
-- pg-long-query: act.pg_cancel
-- pg-long-query: act.pg_terminate
GRANT pg_monitor TO "runbookd";
-- pg-idle-in-transaction: act.pg_terminate
-- pg-connections-high: act.pg_terminate
-- pg-long-query: act.pg_cancel
-- pg-long-query: act.pg_terminate
GRANT pg_signal_backend TO "runbookd";
