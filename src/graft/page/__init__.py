"""What a report shows: the terminal, tables, pictures and the page; never torch."""
