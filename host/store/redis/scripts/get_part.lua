-- A part of a big value.
return call('GETRANGE', key(ARGV[3], ARGV[4]), ARGV[5], ARGV[6])
