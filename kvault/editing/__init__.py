"""How a fact becomes weights: recipes, records, and the ridge problem that turns a set of records into matrices."""
