-- ARGV: a budget's name. Gives what is spent of it this month and what is reserved.
return {sum('spent', month, ARGV[1]), sum('reserved', month, ARGV[1])}
