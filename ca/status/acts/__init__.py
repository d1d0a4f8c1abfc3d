"""Acts on status that are more than one officer's on one certificate: a holder's, two officers', an authority's end."""
