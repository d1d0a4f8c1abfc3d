"""Finding certificates, handing them out, reminding of their end, counting them."""
