local x = param()
