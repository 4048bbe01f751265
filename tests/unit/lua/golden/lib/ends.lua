return { hot = sig.asg_cpu { above = "60%", clear = param("web_cpu_clear", "45%"), lasting = "5m" } }
