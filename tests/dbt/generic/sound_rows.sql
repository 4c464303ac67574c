{#-
  What is asked of the rows of a model or seed, in one test; lists are texts, their items parted by commas.
  key: no two rows share these columns (nulls count as equal). never_null: none of these columns is ever empty.
  one_of: a column has one of the values listed for it, or none. found_in: what a column holds stands in the field of
  another relation. A row that fails says why, with its key.
-#}
{% test sound_rows(model, key='', never_null='', one_of={}, found_in={}) %}
{{ unsound_rows(model, key, never_null, one_of, found_in) }}
{% endtest %}
