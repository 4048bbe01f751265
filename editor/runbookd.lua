---@meta
-- Definitions of the policy language for the Lua language server; printed by runbookd policy-docs --format luals.

---@class runbookd.Condition
---@class runbookd.Action
---@class runbookd.Selector
---@class runbookd.Secret

---@class runbookd.Policy
---@field when runbookd.Condition the condition that fires it
---@field owner string who answers for it
---@field severity "sev1"|"sev2"|"sev3"|"sev4" how loud it is
---@field doc string URL of the runbook, in every page
---@field target runbookd.Selector what it acts on
---@field actions runbookd.Action[]|table<string, runbookd.Action> a ladder of actions, or named actions for run
---@field run? fun(r: runbookd.Run) the sequence of steps; without it the list of actions is a ladder
---@field checks? table<string, runbookd.Condition> named conditions for verify, wait and holds
---@field mode? "off"|"shadow"|"approve"|"enforce" how much it may do
---@field limit? string runs per target
---@field cooldown? string pause between runs on a target
---@field policy_limit? string runs of this policy on all targets together
---@field max_acts? integer|table<string, integer> acts in one run: a count, or one per action; default 1 each
---@field clear? runbookd.Condition when it is over; default: `when` false for two intervals
---@field page? "at_fire"|"on_failure" when a human is paged; default: at_fire for sev1 and sev2
---@field inhibits? string|string[] policies held back on the same service while this one fires
---@field blind_after? string how long a source may be unknown before it is reported
---@field max_targets? string|integer distinct targets acted on within an hour, at least 1
---@field verify_within? string how long a verify may take
---@field deadline? string how long a run may take
---@field window? runbookd.Condition the change window for disruptive and destructive steps
---@field outside? "wait"|"refuse" what such a step does outside the window
---@field status_every? string status updates while it lasts; default 15m for sev1

---@class runbookd.Procedure
---@field params? table<string, table> what `start` takes: { name = { type = "count", default = 1, help = "..." } }
---@field owner string who answers for it
---@field severity "sev1"|"sev2"|"sev3"|"sev4" how loud it is
---@field doc string URL of the runbook, in every page
---@field target runbookd.Selector what it acts on
---@field actions runbookd.Action[]|table<string, runbookd.Action> a ladder of actions, or named actions for run
---@field run? fun(r: runbookd.Run) the sequence of steps; without it the list of actions is a ladder
---@field checks? table<string, runbookd.Condition> named conditions for verify, wait and holds
---@field mode? "off"|"shadow"|"approve"|"enforce" how much it may do
---@field limit? string runs per target
---@field cooldown? string pause between runs on a target
---@field policy_limit? string runs of this policy on all targets together
---@field max_acts? integer|table<string, integer> acts in one run: a count, or one per action; default 1 each
---@field clear? runbookd.Condition when it is over; default: `when` false for two intervals
---@field page? "at_fire"|"on_failure" when a human is paged; default: at_fire for sev1 and sev2
---@field inhibits? string|string[] policies held back on the same service while this one fires
---@field blind_after? string how long a source may be unknown before it is reported
---@field max_targets? string|integer distinct targets acted on within an hour, at least 1
---@field verify_within? string how long a verify may take
---@field deadline? string how long a run may take
---@field window? runbookd.Condition the change window for disruptive and destructive steps
---@field outside? "wait"|"refuse" what such a step does outside the window
---@field status_every? string status updates while it lasts; default 15m for sev1

---@class runbookd.ActionFields
---@field approval? "none"|"required" whether a human must approve each act
---@field approval_unless? runbookd.Condition while this is true, no approval is needed
---@field approvers? string who may approve; default: anyone
---@field approval_ttl? string how long a request for approval stands
---@field timeout? string bounds the acceptance of the request; the effect is awaited by verify
---@field max_acts? integer acts in one run
---@field coexist? boolean acts although another controller is at work

---@class runbookd.SelectorFields
---@field name? string|string[] these names
---@field tag? table<string, string> these tags, all of them
---@field except? string|string[] not these names

---@class runbookd.Test
---@field policy string the policy or procedure that is tested
---@field target table what it acts on: { id = "web-1", desired = 8 }; its fields are below
---@field others? table a list of further targets, written like `target`
---@field with? string|string[] other policies that are in force beside it
---@field params? table values of the policies' parameters: { name = value, ["name@target"] = value }
---@field mode? "off"|"shadow"|"approve"|"enforce" the mode of the policies
---@field starts_at? string the wall clock at 0m, for windows; a Tuesday's midnight, UTC
---@field series? table readings: { asg_cpu = "0m:45% 10m:85% 20m:_", alb_p99 = "120ms" }; `_` and what is not listed is missing; ["SIGNAL{option=value}"] and ["SIGNAL@TARGET"] are one of several
---@field results? table how requests end: { grow = "refused" }, or a list for the first, the second, ...: ok, refused, not_sent, in_doubt_done, in_doubt_not_done, unseen, { result = "ok", before = { desired = 9 } }
---@field changes? table what somebody else changes of the target: { ["20m"] = { desired = 9 } }
---@field operator? table what an operator does: { ["16m"] = "approve" }: approve, deny, cancel, resume, settle done, settle not-done, freeze, unfreeze, silence 2h, mode shadow, close_breaker, start name=value
---@field run_for string how long the test is, in virtual time
---@field timeline? string every row, exactly: fire, deny GUARD, act, verify, wait, undo, page, clear, resolve, end OUTCOME
---@field never? string|string[] beginnings of rows that must not be there, "act "
---@field explain? table what explain says at a time; one, or a list of them

---The run of a policy: each call is a journaled step.
---@class runbookd.Run
---@field target table
---@field params table
local run = {}
---@param name string
---@return boolean
function run:act(name) end
---@param name string
---@return boolean
function run:undo(name) end
---@param check string
---@param within? string
---@return boolean
function run:verify(check, within) end
---@param checks string|string[]
---@param timeout string
---@return string|false
function run:wait(checks, timeout) end
---@param check string
---@return boolean
function run:holds(check) end
---@param duration string
function run:sleep(duration) end
---@param text string
---@return true
function run:page(text) end
---@param text string
function run:log(text) end
---@param signal runbookd.Condition
---@return number|nil
function run:read(signal) end

---@param name string
---@return fun(fields: runbookd.Policy)
function policy(name) end
---@param name string
---@return fun(fields: runbookd.Procedure)
function procedure(name) end
---In *_test.lua: a policy in virtual time.
---@param name string
---@return fun(fields: runbookd.Test)
function test(name) end
---@param fields runbookd.Policy
function defaults(fields) end
---@generic T
---@param name string
---@param default? T
---@return T
function param(name, default) end
---@param name string
---@return table
function use(name) end
---@param conditions runbookd.Condition[]
---@return runbookd.Condition
function all(conditions) end
---@param conditions runbookd.Condition[]
---@return runbookd.Condition
function any(conditions) end
---@param conditions runbookd.Condition[]
---@return runbookd.Condition
function none(conditions) end

sig, act, find = {}, {}, {}

---@class runbookd.sig.asg_cpu
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field period? string period of its points; without it 1m, or 5m where the group is not detailed

---mean CPU of the group's instances
---@param fields runbookd.sig.asg_cpu
---@return runbookd.Condition
function sig.asg_cpu(fields) end

---@class runbookd.sig.alb_p99
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field period? string period of its points

---response time that 99 of 100 requests stay below
---@param fields runbookd.sig.alb_p99
---@return runbookd.Condition
function sig.alb_p99(fields) end

---@class runbookd.sig.alb_avg
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field period? string period of its points

---mean response time
---@param fields runbookd.sig.alb_avg
---@return runbookd.Condition
function sig.alb_avg(fields) end

---@class runbookd.sig.alb_requests
---@field above? integer
---@field below? integer
---@field at_least? integer
---@field at_most? integer
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? integer in `when`: once true, it is over only with this in the comparator's place
---@field period? string period of its points

---requests in a period
---@param fields runbookd.sig.alb_requests
---@return runbookd.Condition
function sig.alb_requests(fields) end

---@class runbookd.sig.alb_5xx
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field min_requests? integer requests a minute below which a share says nothing: unknown; of a shorter period as much less, of a longer one the same
---@field period? string period of its points

---share of requests that were answered with a 5xx: by the group's targets, of the group's requests, plus by the load balancer itself, of all of its requests; missing counts are zero while requests are counted
---@param fields runbookd.sig.alb_5xx
---@return runbookd.Condition
function sig.alb_5xx(fields) end

---@class runbookd.sig.db_cpu
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field period? string period of its points

---CPU of the RDS instance
---@param fields runbookd.sig.db_cpu
---@return runbookd.Condition
function sig.db_cpu(fields) end

---@class runbookd.sig.db_memory_free
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field period? string period of its points

---memory that the RDS instance could still use
---@param fields runbookd.sig.db_memory_free
---@return runbookd.Condition
function sig.db_memory_free(fields) end

---@class runbookd.sig.db_storage_free
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field period? string period of its points

---storage that the RDS instance has left
---@param fields runbookd.sig.db_storage_free
---@return runbookd.Condition
function sig.db_storage_free(fields) end

---@class runbookd.sig.rds_replica_lag
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field period? string period of its points

---how far an RDS replica is behind its source; on a source that writes nothing it grows to 5m and falls back, because RDS switches the log that often: compare with more; unknown where replication is not active
---@param fields runbookd.sig.rds_replica_lag
---@return runbookd.Condition
function sig.rds_replica_lag(fields) end

---@class runbookd.sig.proxy_clients
---@field above? integer
---@field below? integer
---@field at_least? integer
---@field at_most? integer
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? integer in `when`: once true, it is over only with this in the comparator's place
---@field period? string period of its points

---connections of clients to the RDS proxy
---@param fields runbookd.sig.proxy_clients
---@return runbookd.Condition
function sig.proxy_clients(fields) end

---@class runbookd.sig.proxy_connections
---@field above? integer
---@field below? integer
---@field at_least? integer
---@field at_most? integer
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? integer in `when`: once true, it is over only with this in the comparator's place
---@field period? string period of its points

---connections of the RDS proxy to its database: what its pool holds
---@param fields runbookd.sig.proxy_connections
---@return runbookd.Condition
function sig.proxy_connections(fields) end

---@class runbookd.sig.proxy_pinned
---@field above? integer
---@field below? integer
---@field at_least? integer
---@field at_most? integer
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? integer in `when`: once true, it is over only with this in the comparator's place
---@field period? string period of its points

---connections of the pool that are bound to one client's session
---@param fields runbookd.sig.proxy_pinned
---@return runbookd.Condition
function sig.proxy_pinned(fields) end

---@class runbookd.sig.proxy_borrow_latency
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field stat? "Average"|"p99" p99 exists only where AWS publishes it: unknown elsewhere
---@field period? string period of its points

---how long clients of the RDS proxy wait for a connection of the pool
---@param fields runbookd.sig.proxy_borrow_latency
---@return runbookd.Condition
function sig.proxy_borrow_latency(fields) end

---@class runbookd.sig.proxy_pool_used
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field period? string period of its points

---share of the connections that the RDS proxy may open which are open
---@param fields runbookd.sig.proxy_pool_used
---@return runbookd.Condition
function sig.proxy_pool_used(fields) end

---@class runbookd.sig.cloudwatch
---@field above? number
---@field below? number
---@field at_least? number
---@field at_most? number
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? number in `when`: once true, it is over only with this in the comparator's place
---@field namespace string "AWS/RDS"
---@field metric string "CPUUtilization"
---@field unit "number"|"count"|"percent"|"duration"|"size" what its values are; durations in milliseconds, sizes in bytes (see expr)
---@field dimensions? table<string, string> all dimensions that it is published with; may name "$target.name" and the like
---@field stat? string Average, Sum, Minimum, Maximum, SampleCount or a percentile, "p99"
---@field period? string period of its points
---@field expr? string metric math in which the metric is m: "m * 1000" makes milliseconds of seconds
---@field per? "target"|"node" node: of each member of the cache's replication group, by CacheClusterId beside the dimensions; needs all of them
---@field agg? "max"|"sum"|"avg"|"min" what is made of the readings of several nodes

---any metric
---@param fields runbookd.sig.cloudwatch
---@return runbookd.Condition
function sig.cloudwatch(fields) end

---@class runbookd.sig.asg_in_service
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field period? string how often it is asked

---share of the desired instances that are InService and Healthy; unknown where none is desired
---@param fields runbookd.sig.asg_in_service
---@return runbookd.Condition
function sig.asg_in_service(fields) end

---@class runbookd.sig.asg_desired
---@field above? integer
---@field below? integer
---@field at_least? integer
---@field at_most? integer
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? integer in `when`: once true, it is over only with this in the comparator's place
---@field period? string how often it is asked

---desired capacity of the group
---@param fields runbookd.sig.asg_desired
---@return runbookd.Condition
function sig.asg_desired(fields) end

---@class runbookd.sig.asg_headroom
---@field above? integer
---@field below? integer
---@field at_least? integer
---@field at_most? integer
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? integer in `when`: once true, it is over only with this in the comparator's place
---@field period? string how often it is asked

---instances that the group may still grow by
---@param fields runbookd.sig.asg_headroom
---@return runbookd.Condition
function sig.asg_headroom(fields) end

---@class runbookd.sig.alb_healthy
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field period? string how often it is asked

---share of the registered targets, draining ones left out, that are healthy; unknown where none is registered
---@param fields runbookd.sig.alb_healthy
---@return runbookd.Condition
function sig.alb_healthy(fields) end

---@class runbookd.sig.alb_draining
---@field above? integer
---@field below? integer
---@field at_least? integer
---@field at_most? integer
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? integer in `when`: once true, it is over only with this in the comparator's place
---@field period? string how often it is asked

---targets that are draining
---@param fields runbookd.sig.alb_draining
---@return runbookd.Condition
function sig.alb_draining(fields) end

---@class runbookd.sig.rds_status
---@field is? string
---@field is_not? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field period? string how often RDS is asked

---status of the RDS instance
---@param fields runbookd.sig.rds_status
---@return runbookd.Condition
function sig.rds_status(fields) end

---@class runbookd.sig.rds_pending
---@field above? integer
---@field below? integer
---@field at_least? integer
---@field at_most? integer
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? integer in `when`: once true, it is over only with this in the comparator's place
---@field period? string how often RDS is asked

---changes of the RDS instance that wait for its maintenance window, and parameter groups that wait for a reboot
---@param fields runbookd.sig.rds_pending
---@return runbookd.Condition
function sig.rds_pending(fields) end

---@class runbookd.sig.snapshot_progress
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field period? string how often RDS is asked

---how far the newest manual snapshot is; 100% when it is there. Of a cache 0% until then: ElastiCache tells no more
---@param fields runbookd.sig.snapshot_progress
---@return runbookd.Condition
function sig.snapshot_progress(fields) end

---@class runbookd.sig.proxy_status
---@field is? string
---@field is_not? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field period? string how often RDS is asked

---status of the RDS proxy
---@param fields runbookd.sig.proxy_status
---@return runbookd.Condition
function sig.proxy_status(fields) end

---@class runbookd.sig.proxy_pool_max
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field period? string how often RDS is asked

---share of the database's max_connections that the RDS proxy may open: what `proxy_pool` sets
---@param fields runbookd.sig.proxy_pool_max
---@return runbookd.Condition
function sig.proxy_pool_max(fields) end

---@class runbookd.sig.proxy_targets_available
---@field above? integer
---@field below? integer
---@field at_least? integer
---@field at_most? integer
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? integer in `when`: once true, it is over only with this in the comparator's place
---@field period? string how often RDS is asked

---databases behind the RDS proxy that it reaches; 0 where none is registered
---@param fields runbookd.sig.proxy_targets_available
---@return runbookd.Condition
function sig.proxy_targets_available(fields) end

---@class runbookd.sig.pg_connections
---@field above? integer
---@field below? integer
---@field at_least? integer
---@field at_most? integer
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? integer in `when`: once true, it is over only with this in the comparator's place
---@field state? "active"|"idle"|"idle_in_transaction" only sessions in this state; idle_in_transaction includes failed transactions
---@field database? string only sessions on this database
---@field user? string only sessions of this role
---@field application? string only sessions with this application_name
---@field client? string only sessions from this address, "10.1.2.3"; "local": by the server's socket
---@field period? string how often the server is asked

---sessions of clients, our own left out
---@param fields runbookd.sig.pg_connections
---@return runbookd.Condition
function sig.pg_connections(fields) end

---@class runbookd.sig.pg_conn_used
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field period? string how often the server is asked

---share of the connections for applications that clients use
---@param fields runbookd.sig.pg_conn_used
---@return runbookd.Condition
function sig.pg_conn_used(fields) end

---@class runbookd.sig.pg_query_age
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field database? string only sessions on this database
---@field user? string only sessions of this role
---@field application? string only sessions with this application_name
---@field client? string only sessions from this address, "10.1.2.3"; "local": by the server's socket
---@field period? string how often the server is asked

---age of the oldest query that runs; 0 when none does
---@param fields runbookd.sig.pg_query_age
---@return runbookd.Condition
function sig.pg_query_age(fields) end

---@class runbookd.sig.pg_idle_in_transaction
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field database? string only sessions on this database
---@field user? string only sessions of this role
---@field application? string only sessions with this application_name
---@field client? string only sessions from this address, "10.1.2.3"; "local": by the server's socket
---@field period? string how often the server is asked

---how long the longest has been idle in a transaction; 0 when none is
---@param fields runbookd.sig.pg_idle_in_transaction
---@return runbookd.Condition
function sig.pg_idle_in_transaction(fields) end

---@class runbookd.sig.pg_bloat
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field min_size? string only tables of at least this size, without indexes and TOAST
---@field period? string how often the server is asked

---dead rows of the worst table of the database for each 100 live ones, as in autovacuum_vacuum_scale_factor: more than 100% where more are dead than alive; 0 when no table is large enough
---@param fields runbookd.sig.pg_bloat
---@return runbookd.Condition
function sig.pg_bloat(fields) end

---@class runbookd.sig.pg_replica_lag
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field unit? "duration"|"size" duration: how old what was replayed last is; size: bytes of WAL that are not replayed yet
---@field period? string how often the server is asked

---how far the last of the primary's replicas, or this replica, is behind; as a duration unknown while the primary writes nothing
---@param fields runbookd.sig.pg_replica_lag
---@return runbookd.Condition
function sig.pg_replica_lag(fields) end

---@class runbookd.sig.sql
---@field above? number
---@field below? number
---@field at_least? number
---@field at_most? number
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? number in `when`: once true, it is over only with this in the comparator's place
---@field query string one SELECT that gives one row, in the target's database; only pg_catalog is on the search path: write "public.orders"
---@field column? integer which column of the row holds the number
---@field unit "number"|"count"|"percent"|"duration"|"size" what the number is; durations in milliseconds, sizes in bytes
---@field period? string how often it is asked

---one number from a statement; unknown when it gives no row, several, NULL or no number, or takes longer than 5s
---@param fields runbookd.sig.sql
---@return runbookd.Condition
function sig.sql(fields) end

---@class runbookd.sig.cache_evictions
---@field above? number
---@field below? number
---@field at_least? number
---@field at_most? number
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? number in `when`: once true, it is over only with this in the comparator's place
---@field period? string how often it is asked; without it 10s by INFO, 1m from CloudWatch, which has whole minutes only
---@field agg? "max"|"sum"|"avg"|"min" what is made of the readings of several nodes

---keys that were pushed out because the memory is full, a minute, over all primaries (`agg`); by INFO where the estate gives the cache a host, else from CloudWatch
---@param fields runbookd.sig.cache_evictions
---@return runbookd.Condition
function sig.cache_evictions(fields) end

---@class runbookd.sig.cache_memory
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field period? string how often it is asked; without it 10s by INFO, 1m from CloudWatch, which has whole minutes only
---@field agg? "max"|"avg"|"min" what is made of the readings of several nodes

---share of its memory that the fullest node uses, or what `agg` says; by INFO where the estate gives the cache a host, else from CloudWatch
---@param fields runbookd.sig.cache_memory
---@return runbookd.Condition
function sig.cache_memory(fields) end

---@class runbookd.sig.cache_hit_rate
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field period? string how often it is asked
---@field min_lookups? integer look-ups between two readings below which a share says nothing: unknown

---share of the look-ups since the reading before that found their key
---@param fields runbookd.sig.cache_hit_rate
---@return runbookd.Condition
function sig.cache_hit_rate(fields) end

---@class runbookd.sig.cache_replica_lag
---@field above? string
---@field below? string
---@field at_least? string
---@field at_most? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field period? string how often it is asked
---@field agg? "max"|"sum"|"avg"|"min" what is made of the readings of several nodes

---how long ago replicas and their primary last heard of each other; unknown without a replica and while one is being made
---@param fields runbookd.sig.cache_replica_lag
---@return runbookd.Condition
function sig.cache_replica_lag(fields) end

---@class runbookd.sig.cache_fragmentation
---@field above? number
---@field below? number
---@field at_least? number
---@field at_most? number
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? number in `when`: once true, it is over only with this in the comparator's place
---@field period? string how often it is asked
---@field agg? "max"|"sum"|"avg"|"min" what is made of the readings of several nodes

---memory that the server takes from the system, divided by what its data need
---@param fields runbookd.sig.cache_fragmentation
---@return runbookd.Condition
function sig.cache_fragmentation(fields) end

---@class runbookd.sig.redis
---@field above? number
---@field below? number
---@field at_least? number
---@field at_most? number
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? number in `when`: once true, it is over only with this in the comparator's place
---@field field string a number of INFO: "connected_clients", "instantaneous_ops_per_sec"
---@field rate? boolean its change a minute, for fields that only count up: "expired_keys"
---@field agg? "max"|"sum"|"avg"|"min" what is made of the readings of several nodes
---@field period? string how often it is asked

---any number of INFO, or how fast it grows
---@param fields runbookd.sig.redis
---@return runbookd.Condition
function sig.redis(fields) end

---@class runbookd.sig.cache_status
---@field is? string
---@field is_not? string
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field period? string how often ElastiCache is asked

---status of the replication group
---@param fields runbookd.sig.cache_status
---@return runbookd.Condition
function sig.cache_status(fields) end

---@class runbookd.sig.probe_failures
---@field above? integer
---@field below? integer
---@field at_least? integer
---@field at_most? integer
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? integer in `when`: once true, it is over only with this in the comparator's place
---@field expect? string status codes of a good answer, "200-399" or "200,204"; redirects are not followed
---@field body? string text that a good answer holds
---@field timeout? string an answer that is not whole by then is a failure
---@field ca_file? string file of CA certificates that the server's is checked against; without it the agent's
---@field period? string how often it is asked

---probes of the service's url in a row that failed; 0 while it answers well
---@param fields runbookd.sig.probe_failures
---@return runbookd.Condition
function sig.probe_failures(fields) end

---@class runbookd.sig.http
---@field above? integer
---@field below? integer
---@field at_least? integer
---@field at_most? integer
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? integer in `when`: once true, it is over only with this in the comparator's place
---@field url string what is asked, http or https; may name "$target.FIELD" and the like
---@field expect? string status codes of a good answer, "200-399" or "200,204"; redirects are not followed
---@field body? string text that a good answer holds
---@field timeout? string an answer that is not whole by then is a failure
---@field ca_file? string file of CA certificates that the server's is checked against; without it the agent's
---@field period? string how often it is asked

---probes of a URL in a row that failed; 0 while it answers well
---@param fields runbookd.sig.http
---@return runbookd.Condition
function sig.http(fields) end

---@class runbookd.sig.tls
---@field above? integer
---@field below? integer
---@field at_least? integer
---@field at_most? integer
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? integer in `when`: once true, it is over only with this in the comparator's place
---@field host string host name that is connected to, and that the certificate must be for
---@field port? integer TCP port
---@field ca_file? string file of CA certificates that the chain is checked against; without it the system's
---@field period? string how often it is asked

---whole days that the certificate shown at a host is still good for
---@param fields runbookd.sig.tls
---@return runbookd.Condition
function sig.tls(fields) end

---@class runbookd.sig.cert_days_left
---@field above? integer
---@field below? integer
---@field at_least? integer
---@field at_most? integer
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? integer in `when`: once true, it is over only with this in the comparator's place
---@field period? string how often it is asked

---whole days that a certificate is still good for, by Certificate Manager (of one with an arn) and by what its host shows (of one with a host): the lower of both
---@param fields runbookd.sig.cert_days_left
---@return runbookd.Condition
function sig.cert_days_left(fields) end

---@class runbookd.sig.alert
---@field above? integer
---@field below? integer
---@field at_least? integer
---@field at_most? integer
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? integer in `when`: once true, it is over only with this in the comparator's place
---@field source "alertmanager"|"cloudwatch_alarm" who tells
---@field match table<string, string> labels that the alert has; of an alarm AlarmName, AlarmArn, Region, AWSAccountId, Namespace, MetricName and its dimensions
---@field expires? string how long one that fires counts without being told again; after that it is unknown; default 5h (alertmanager), 24h (cloudwatch_alarm)

---alerts of another monitor that fire now; true while there is one, so no comparator is needed
---@param fields runbookd.sig.alert
---@return runbookd.Condition
function sig.alert(fields) end

---@class runbookd.sig.clock
---@field days? string on which it begins: mon-fri, or sat,sun
---@field from string local time of its begin, 22:00
---@field to string local time of its end, 06:00; up to 24:00; not after from: of the next day
---@field tz? string zone of the IANA database

---true while a clock in that zone shows a time of the window
---@param fields runbookd.sig.clock
---@return runbookd.Condition
function sig.clock(fields) end

---@class runbookd.sig.change
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? string in `when`: once true, it is over only with this in the comparator's place
---@field of runbookd.Condition the signal, without a comparator
---@field over? string how long ago the value was that it is compared with
---@field by? string true while it is at least so much more; negative: less. A condition needs it

---how much a signal changed, of what it was
---@param fields runbookd.sig.change
---@return runbookd.Condition
function sig.change(fields) end

---@class runbookd.sig.compare
---@field lasting? string every sample over this time must satisfy it
---@field missing? "hold"|"true"|"false" what a missing sample counts as
---@field clear? number in `when`: once true, it is over only with this in the comparator's place
---@field a runbookd.Condition the signal, without a comparator
---@field b runbookd.Condition what it is divided by
---@field ratio_above? number true while a divided by b is greater. A condition needs it

---one signal divided by another
---@param fields runbookd.sig.compare
---@return runbookd.Condition
function sig.compare(fields) end

---@class runbookd.act.asg_scale : runbookd.ActionFields
---@field by? string|integer change of the desired capacity, "25%", 2, "-25%", -2: growth is rounded up to at least one instance, shrinking is rounded down
---@field to? integer|runbookd.Condition the desired capacity itself; or a signal, of which each instance takes per_instance: rounded up, within min and max. Denied while it is unknown
---@field per_instance? number with a signal as `to`: how much of it one instance takes, in its base unit (percent, milliseconds, bytes)
---@field min? integer never below this, nor below the group's own minimum
---@field max integer never above this, nor above the group's own maximum

---set the desired capacity of an Auto Scaling group
---@param fields runbookd.act.asg_scale
---@return runbookd.Action
function act.asg_scale(fields) end

---@class runbookd.act.asg_replace : runbookd.ActionFields
---@field max? integer at most so many at once, all in one availability zone
---@field min_healthy? string with fewer of the group healthy it is not single instances that are broken: none is ended

---end unhealthy instances of a group, for Auto Scaling to replace them
---@param fields runbookd.act.asg_replace
---@return runbookd.Action
function act.asg_replace(fields) end

---@class runbookd.act.pg_terminate : runbookd.ActionFields
---@field idle_over? string sessions outside a transaction that have been idle for longer (by state_change)
---@field idle_in_transaction_over? string sessions in a transaction, failed ones too, that have been idle for longer
---@field running_over? string sessions whose query has been running for longer
---@field of? string the sessions that this action named in this run, as far as they are still there and not idle
---@field database? string only sessions on this database
---@field user? string only sessions of this role
---@field application? string only sessions with this application_name
---@field client? string only sessions from this address, "10.1.2.3"; "local": by the server's socket
---@field except_users? string|string[] never sessions of these roles
---@field max? integer at most so many at once, the oldest first

---end client sessions, the oldest first
---@param fields runbookd.act.pg_terminate
---@return runbookd.Action
function act.pg_terminate(fields) end

---@class runbookd.act.pg_cancel : runbookd.ActionFields
---@field running_over? string queries that have been running for longer
---@field of? string the sessions that this action named in this run, as far as they are still there and running a query
---@field database? string only sessions on this database
---@field user? string only sessions of this role
---@field application? string only sessions with this application_name
---@field client? string only sessions from this address, "10.1.2.3"; "local": by the server's socket
---@field except_users? string|string[] never sessions of these roles
---@field max? integer at most so many at once, the oldest first

---cancel running queries, the oldest first
---@param fields runbookd.act.pg_cancel
---@return runbookd.Action
function act.pg_cancel(fields) end

---@class runbookd.act.proxy_pool : runbookd.ActionFields
---@field add? string so many points of max_connections more: "10%" makes 60% of 50%
---@field to? string MaxConnectionsPercent itself
---@field max? string never above this share of the database's max_connections

---set how many connections an RDS proxy may open, where its database has room
---@param fields runbookd.act.proxy_pool
---@return runbookd.Action
function act.proxy_pool(fields) end

---@class runbookd.act.cache_scale : runbookd.ActionFields
---@field ladder string|string[] node types, smallest first: no other is ever set, and a group on another type is left alone
---@field step? integer rungs to go up, to the top at most

---raise the node type of an ElastiCache replication group, a step up a ladder
---@param fields runbookd.act.cache_scale
---@return runbookd.Action
function act.cache_scale(fields) end

---@class runbookd.act.snapshot : runbookd.ActionFields
---@field name? string its name; one that is there already, of this source, is taken for done
---@field keep? string it is tagged runbookd:keep-until with the time this long after it was planned; runbookd itself deletes no snapshot

---take a manual snapshot of an RDS instance or an ElastiCache replication group
---@param fields runbookd.act.snapshot
---@return runbookd.Action
function act.snapshot(fields) end

---an AWS account and region, and how to sign in
---@param fields runbookd.SelectorFields
---@return runbookd.Selector
function find.aws(fields) end

---an Auto Scaling group
---@param fields runbookd.SelectorFields
---@return runbookd.Selector
function find.asg(fields) end

---a PostgreSQL server
---@param fields runbookd.SelectorFields
---@return runbookd.Selector
function find.postgres(fields) end

---an RDS proxy
---@param fields runbookd.SelectorFields
---@return runbookd.Selector
function find.proxy(fields) end

---a Redis server or an ElastiCache replication group
---@param fields runbookd.SelectorFields
---@return runbookd.Selector
function find.cache(fields) end

---what users see: a group, its database, its cache
---@param fields runbookd.SelectorFields
---@return runbookd.Selector
function find.service(fields) end

---an SQS queue
---@param fields runbookd.SelectorFields
---@return runbookd.Selector
function find.queue(fields) end

---a TLS certificate and where it is shown
---@param fields runbookd.SelectorFields
---@return runbookd.Selector
function find.certificate(fields) end

---an EC2 instance
---@param fields runbookd.SelectorFields
---@return runbookd.Selector
function find.instance(fields) end
