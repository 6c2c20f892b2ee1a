# How an assignment goes about it: take the labels as they are; assign all; the same by integers;
# and set bounds; assign what bounds leave open.
cdef enum:
    C_GIVEN
    C_PLAIN
    C_SCREENED
    C_BOUND
    C_FILTER
