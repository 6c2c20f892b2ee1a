/* Matrices of any strides and byte order: their elements, as they are stored, packed row by row.
 *
 * Only the elements themselves are read, in loads of any alignment. What depends on the SIMD level
 * takes packed elements, so all of this exists once. */

/* Elements packed at a time stay in the L1 cache. */
#define PIECE_BYTES ((ptrdiff_t)8192)

INLINE ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

typedef struct {
    const char *data;                    /* the first row */
    ptrdiff_t row_stride, column_stride; /* bytes */
    const int32_t *rows;                 /* those to read, or NULL for all in order */
    ptrdiff_t size;                      /* of an element */
    int swapped;
} layout;

static layout layout_from(const ckm_source *source, ptrdiff_t d, ptrdiff_t first,
                          const int32_t *rows)
{
    static const ptrdiff_t sizes[CKM_N_TYPES] = {1, 1, 1, 2, 2, 2, 4, 8, 4, 4, 8, 8};
    const ptrdiff_t size = sizes[source->type];
    return (layout){
        .data = source->data + first * source->row_stride,
        .row_stride = source->row_stride,
        .column_stride = d == 1 ? size : source->column_stride,
        .rows = rows,
        .size = size,
        .swapped = source->swapped && size > 1,
    };
}

/* The same from row i and column j on. */
static layout part_of(const layout *whole, ptrdiff_t i, ptrdiff_t j)
{
    layout part = *whole;
    part.data += j * part.column_stride;
    if (part.rows)
        part.rows += i;
    else
        part.data += i * part.row_stride;
    return part;
}

static int has_packed_rows(const layout *from) { return from->column_stride == from->size; }

static int is_packed(const layout *from, ptrdiff_t d)
{
    return has_packed_rows(from) && from->row_stride == d * from->size && !from->rows &&
           !from->swapped;
}

/* Fortran order, and column slices of it. */
static int has_packed_columns(const layout *from)
{
    return from->row_stride == from->size && !from->rows && !from->swapped;
}

INLINE ptrdiff_t length_of(ptrdiff_t stride) { return stride < 0 ? -stride : stride; }

static int is_row_major(const layout *from)
{
    return length_of(from->column_stride) <= length_of(from->row_stride);
}

INLINE const char *row_at(const layout *from, ptrdiff_t i)
{
    return from->data + (from->rows ? from->rows[i] : i) * from->row_stride;
}

#define ROWS_AHEAD 16

/* Chosen rows lie far apart: without this, a third of the time of gathering 32 bytes each. */
INLINE void fetch_row_ahead(const layout *from, ptrdiff_t i, ptrdiff_t count, ptrdiff_t bytes)
{
    if (!from->rows || i + ROWS_AHEAD >= count) return;
    const char *row = row_at(from, i + ROWS_AHEAD);
    for (ptrdiff_t at = 0; at < bytes; at += 64) prefetch((uintptr_t)row + at);
}

/* Rows of step to 2 * step bytes, in two copies that may overlap: a third of a memcpy's time. */
#define COPY_ROWS(step)                                                                            \
    static void copy_rows_##step(const layout *from, ptrdiff_t count, ptrdiff_t bytes,             \
                                 char *RESTRICT out)                                               \
    {                                                                                              \
        for (ptrdiff_t i = 0; i < count; i++, out += bytes) {                                      \
            const char *row = row_at(from, i);                                                     \
            fetch_row_ahead(from, i, count, 2 * step);                                             \
            memcpy(out, row, step);                                                                \
            memcpy(out + bytes - step, row + bytes - step, step);                                  \
        }                                                                                          \
    }
COPY_ROWS(1)
COPY_ROWS(2)
COPY_ROWS(4)
COPY_ROWS(8)
COPY_ROWS(16)
COPY_ROWS(32)
COPY_ROWS(64)
#undef COPY_ROWS

static void copy_rows(const layout *from, ptrdiff_t count, ptrdiff_t bytes, char *RESTRICT out)
{
    if (bytes > 128)
        for (ptrdiff_t i = 0; i < count; i++) {
            fetch_row_ahead(from, i, count, bytes);
            memcpy(out + i * bytes, row_at(from, i), (size_t)bytes);
        }
    else if (bytes >= 64)
        copy_rows_64(from, count, bytes, out);
    else if (bytes >= 32)
        copy_rows_32(from, count, bytes, out);
    else if (bytes >= 16)
        copy_rows_16(from, count, bytes, out);
    else if (bytes >= 8)
        copy_rows_8(from, count, bytes, out);
    else if (bytes >= 4)
        copy_rows_4(from, count, bytes, out);
    else if (bytes >= 2)
        copy_rows_2(from, count, bytes, out);
    else
        copy_rows_1(from, count, bytes, out);
}

/* Along the axis of the shorter stride first. Three columns, an image's channels in reverse order:
 * without a loop over them, half the time. */
#define COPY_ELEMENTS(size)                                                                        \
    INLINE void copy_by_rows_##size(const layout *from, ptrdiff_t count, ptrdiff_t columns,        \
                                    char *RESTRICT out)                                            \
    {                                                                                              \
        for (ptrdiff_t i = 0; i < count; i++)                                                      \
            for (ptrdiff_t j = 0; j < columns; j++, out += size)                                   \
                memcpy(out, row_at(from, i) + j * from->column_stride, size);                      \
    }                                                                                              \
    static void copy_elements_##size(const layout *from, ptrdiff_t count, ptrdiff_t columns,       \
                                     char *RESTRICT out)                                           \
    {                                                                                              \
        if (is_row_major(from) && columns == 3)                                                    \
            copy_by_rows_##size(from, count, 3, out);                                              \
        else if (is_row_major(from))                                                               \
            copy_by_rows_##size(from, count, columns, out);                                        \
        else                                                                                       \
            for (ptrdiff_t j = 0; j < columns; j++)                                                \
                for (ptrdiff_t i = 0; i < count; i++)                                              \
                    memcpy(out + (i * columns + j) * size,                                         \
                           row_at(from, i) + j * from->column_stride, size);                       \
    }
COPY_ELEMENTS(1)
COPY_ELEMENTS(2)
COPY_ELEMENTS(4)
COPY_ELEMENTS(8)
#undef COPY_ELEMENTS

static void copy_elements(const layout *from, ptrdiff_t count, ptrdiff_t columns,
                          char *RESTRICT out)
{
    switch (from->size) {
    case 1: copy_elements_1(from, count, columns, out); break;
    case 2: copy_elements_2(from, count, columns, out); break;
    case 4: copy_elements_4(from, count, columns, out); break;
    default: copy_elements_8(from, count, columns, out);
    }
}

INLINE uint16_t reversed_2(uint16_t x) { return (uint16_t)(x >> 8 | x << 8); }
INLINE uint32_t reversed_4(uint32_t x)
{
    return x >> 24 | (x >> 8 & 0xff00u) | (x & 0xff00u) << 8 | x << 24;
}
INLINE uint64_t reversed_8(uint64_t x)
{
    return (uint64_t)reversed_4((uint32_t)x) << 32 | reversed_4((uint32_t)(x >> 32));
}

#define SWAP_BYTES(size, bits)                                                                     \
    static void swap_bytes_##size(char *elements, ptrdiff_t n)                                     \
    {                                                                                              \
        for (ptrdiff_t i = 0; i < n; i++) {                                                        \
            bits x;                                                                                \
            memcpy(&x, elements + i * size, size);                                                 \
            x = reversed_##size(x);                                                                \
            memcpy(elements + i * size, &x, size);                                                 \
        }                                                                                          \
    }
SWAP_BYTES(2, uint16_t)
SWAP_BYTES(4, uint32_t)
SWAP_BYTES(8, uint64_t)
#undef SWAP_BYTES

static void swap_bytes(char *elements, ptrdiff_t n, ptrdiff_t size)
{
    switch (size) {
    case 2: swap_bytes_2(elements, n); break;
    case 4: swap_bytes_4(elements, n); break;
    default: swap_bytes_8(elements, n);
    }
}

/* The first `columns` columns of the first `count` rows: packed, in native byte order. */
static void pack_elements(const layout *from, ptrdiff_t count, ptrdiff_t columns, char *out)
{
    if (has_packed_rows(from))
        copy_rows(from, count, columns * from->size, out);
    else
        copy_elements(from, count, columns, out);
    if (from->swapped) swap_bytes(out, count * columns, from->size);
}

/* How many rows and columns fit a piece: whole rows, or a part of one. */
static void piece_shape(const layout *from, ptrdiff_t d, ptrdiff_t *count, ptrdiff_t *columns)
{
    const ptrdiff_t elements = PIECE_BYTES / from->size;
    *columns = d < elements ? d : elements;
    *count = elements / *columns;
}

/* The rows that follow the `count` first ones are probably read next: memory brings the start of
 * them while the caller computes (-12 to -15 % for reading and assigning three columns of a 1M x 5
 * matrix, k = 16). All of them at once would hold up the caller's own loads. */
static void fetch_rows(const layout *from, ptrdiff_t count)
{
    const ptrdiff_t stride = from->row_stride, most = 32 * 64;
    const ptrdiff_t bytes = smaller(length_of(stride) * count, most);
    const uintptr_t next = (uintptr_t)from->data + (uintptr_t)(count * stride);
    for (ptrdiff_t b = 0; b < bytes; b += 64)
        prefetch(next + (uintptr_t)(stride < 0 ? -b : b));
}

/* Part g of n of what is read next. */
INLINE void fetch_share(const ckm_rest *rest, ptrdiff_t g, ptrdiff_t n)
{
    for (ptrdiff_t b = rest->bytes * g / n / 64 * 64; b < rest->bytes * (g + 1) / n; b += 64)
        prefetch((uintptr_t)rest->at + (uintptr_t)b);
}
