-- Whether this host knows the format that is asked for: what every script begins with.
return FORMAT
