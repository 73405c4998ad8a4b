-- How many messages are in a mailbox.
return call('LLEN', key('mail', ARGV[3]))
