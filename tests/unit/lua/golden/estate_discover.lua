aws "prod" { region = "us-east-1" }
local function rest() discover.asgs { aws = "prod" } end
