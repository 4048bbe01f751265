-- The agent's role on a PostgreSQL server (12 or newer) of the estate, with the rights that it needs and no more. Run it
-- once as a superuser, on RDS as the master user; roles belong to the whole server:
--   psql -v ON_ERROR_STOP=1 -d DATABASE -f grants.sql
-- It can read statistics and end or interrupt sessions of roles that are not superusers. It can read no table and change nothing.
-- The agent keeps two connections open, one to look and one to act, so that a server that is full does not shut it out.
-- The role must be the agent's alone: sessions of this role whose application_name begins with "runbookd" are its own,
-- which it neither counts nor ends.
CREATE ROLE runbookd LOGIN CONNECTION LIMIT 4;
-- Its password, without a trace in the server's log or the shell's history:  \password runbookd
-- or, on RDS with `iam = true` in the estate:  GRANT rds_iam TO runbookd;

-- No more than looking, and not for long, should something else ever sign in with it.
ALTER ROLE runbookd SET default_transaction_read_only = on;
ALTER ROLE runbookd SET statement_timeout = '15s';
ALTER ROLE runbookd SET idle_in_transaction_session_timeout = '15s';

-- The signals pg_connections, pg_conn_used, pg_query_age and pg_idle_in_transaction, and what pg_terminate and pg_cancel
-- look at: without it the state of other roles' sessions is hidden, and these signals are unknown.
GRANT pg_monitor TO runbookd;
-- The actions pg_terminate and pg_cancel: leave it out where the agent may only look.
GRANT pg_signal_backend TO runbookd;
