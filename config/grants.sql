-- The agent's role on a PostgreSQL server of the estate. Run it once as a superuser, on RDS as the master user:
--   psql -v ON_ERROR_STOP=1 -d DATABASE -f grants.sql
-- It can read statistics and end or interrupt sessions of roles that are not superusers. It can read no table and change nothing.
-- The agent keeps two connections open, one to look and one to act, so that a server that is full does not shut it out.
CREATE ROLE runbookd LOGIN CONNECTION LIMIT 4;
-- Its password, without a trace in the server's log or the shell's history:  \password runbookd
-- or, on RDS with `iam = true` in the estate:  GRANT rds_iam TO runbookd;
GRANT pg_monitor TO runbookd;
GRANT pg_signal_backend TO runbookd;
