-- Returns the amounts spent and reserved of a budget this month. ARGV: the name of the budget.
return {sum('spent', month, ARGV[1]), sum('reserved', month, ARGV[1])}
