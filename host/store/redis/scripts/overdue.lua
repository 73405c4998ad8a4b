-- The ids of commands that waited or ran longer than they may, the longest overdue first.
return call('ZRANGEBYSCORE', prefix .. 'due', '-inf', now(), 'LIMIT', 0, 1000)
