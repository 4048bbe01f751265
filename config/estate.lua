-- What there is, and how it hangs together. Data only: policies find their targets here by kind, name and tag.
aws "prod" {
  region = "us-east-1",
  role   = "arn:aws:iam::123456789012:role/runbookd",
}

asg "basecoat-portal-asg" {
  aws          = "prod",
  target_group = "targetgroup/basecoat-portal/0123456789abcdef",
  alb          = "app/basecoat-portal/456789abcdef0123",
  tag          = { tier = "web", app = "portal" },
}

proxy "basecoat-portal-proxy" { aws = "prod" }

postgres "basecoat-portal-db" {
  host     = "basecoat-portal-db.example.internal",
  port     = 5432,
  database = "basecoat_db",
  user     = "runbookd",
  password = secret.file "/etc/runbookd/portal-db.password",
  instance = "basecoat-portal-db",
  proxy    = "basecoat-portal-proxy",
  aws      = "prod",
  tag      = { app = "portal" },
  mode     = "approve", -- whatever its policies say: nothing here without a human
}

service "portal" {
  url       = "https://portal.example.com/health",
  asg       = "basecoat-portal-asg",
  postgres  = "basecoat-portal-db",
  pool_size = 50, -- connections that one instance may open; without a proxy the group grows only while they fit into the database
}
