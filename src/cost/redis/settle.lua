-- ARGV: the lease's number and what the call came to. Gives what is then spent of each of its budgets this month.
return settle(ARGV[1], ARGV[2])
