"""How padding is kept out of attention."""

# Added to the scores of padding. exp(-1e4) is 0 in every precision, and -1e4 is finite in float16, where the
# reference's float32 minimum is -inf and turns a row that is all padding into NaN.
MASKED_SCORE = -1e4
