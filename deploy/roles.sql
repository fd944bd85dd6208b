-- Roles for a mirror on your own PostgreSQL server; may be run again at any time.
--
--   psql < deploy/roles.sql        as a superuser; -v database=NAME for another than `mirror`
--
-- syncd          logs in, owns the database and with it the mirror: the role of the daemon
-- syncd_reader   may read everything and write nothing: grant it to people and BI tools
-- syncd_lookup   the same, for the queries in config.toml that give keys; what else they read must be granted to it
-- syncd_analyst  reads everything and owns schema analytics, where dbt and people build tables of their own
--
-- Then give syncd its password (\password syncd), and let people read: GRANT syncd_reader TO alice;

\set ON_ERROR_STOP on
\if :{?database} \else
\set database mirror
\endif

SELECT 'CREATE ROLE syncd LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'syncd') \gexec
SELECT 'CREATE ROLE syncd_reader NOLOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'syncd_reader') \gexec
SELECT 'CREATE ROLE syncd_lookup NOLOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'syncd_lookup') \gexec
SELECT 'CREATE ROLE syncd_analyst NOLOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'syncd_analyst') \gexec
GRANT syncd_reader TO syncd_lookup, syncd_analyst;
GRANT syncd_lookup TO syncd;
SELECT format('CREATE DATABASE %I OWNER syncd', :'database')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec

\connect :database

REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO syncd_reader;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;  -- as PostgreSQL itself has it from 15 on

-- where analysts build; what they build may be read by readers. Snapshots of dbt need temporary tables.
SELECT 'CREATE SCHEMA analytics AUTHORIZATION syncd_analyst; '
       'COMMENT ON SCHEMA analytics IS ''Tables that analysts build over the mirror; syncd never touches them'''
WHERE to_regnamespace('analytics') IS NULL \gexec
GRANT TEMPORARY ON DATABASE :"database" TO syncd_analyst;
GRANT USAGE ON SCHEMA analytics TO syncd_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE syncd_analyst IN SCHEMA analytics GRANT SELECT ON TABLES TO syncd_reader;

-- what PUBLIC may do everywhere, and what would let a reader write, or stop the daemon by taking locks
SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', oid::regprocedure) FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^(lo_|lowrite|loread|pg_advisory_|pg_try_advisory_)' \gexec
SELECT format('GRANT EXECUTE ON FUNCTION %s TO syncd', oid::regprocedure) FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^(pg_advisory_|pg_try_advisory_)' \gexec

-- what `syncd migrate` makes from now on
ALTER DEFAULT PRIVILEGES FOR ROLE syncd GRANT USAGE ON SCHEMAS TO syncd_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE syncd GRANT SELECT ON TABLES TO syncd_reader;

-- what it has made already
SELECT format('GRANT USAGE ON SCHEMA %1$I TO syncd_reader; '
              'GRANT SELECT ON ALL TABLES IN SCHEMA %1$I TO syncd_reader', nspname)
FROM pg_namespace WHERE nspowner = 'syncd'::regrole \gexec

-- but for the secret that the numbers of locks are made with
SELECT 'REVOKE ALL ON syncd.lock_salt FROM syncd_reader' WHERE to_regclass('syncd.lock_salt') IS NOT NULL \gexec
-- and for what upstreams have handed out, which is encrypted all the same
SELECT 'REVOKE ALL ON syncd.kept_secrets FROM syncd_reader' WHERE to_regclass('syncd.kept_secrets') IS NOT NULL \gexec
