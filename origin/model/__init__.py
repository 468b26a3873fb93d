"""Values that publisher and registry both know: requests and answers, keys, tokens, disk files, publications."""
