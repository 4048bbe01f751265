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
