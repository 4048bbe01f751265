return { hot = sig.asg_cpu { above = param("web_cpu_limit", "60%"), lasting = "1m" }, p99 = { "500ms" } }
