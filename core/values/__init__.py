"""Pure values: money, ids, clock, errors, prices, tokens, invoices. Nothing here does I/O."""
