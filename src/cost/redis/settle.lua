-- Settles a reservation. ARGV: the id and the amount spent. Returns what is then spent this month of each of its budgets.
return settle(ARGV[1], ARGV[2])
