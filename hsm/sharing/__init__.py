"""A secret divided among people: any m of n put it together, a wrong share is named."""
