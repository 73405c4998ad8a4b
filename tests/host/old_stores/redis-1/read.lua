-- The view of one command.
return view(ARGV[3], ARGV[4], ARGV[5])
