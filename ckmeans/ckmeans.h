/* The C interface of ckmeans: exact k-means loops for float (f32) and double (f64).
 *
 *     #include <Python.h>
 *     #include <ckmeans.h>                     // in the directory that ckmeans.get_include() names
 *     const ckmeans_api* ck = ckmeans_import();    // with the GIL; NULL with an exception set
 *
 * The functions need no GIL and allocate nothing; they read what is const and write the rest, which
 * is the caller's. X is (n, d), its rows row_step >= d elements apart, its values finite and below
 * 1e145 in magnitude; n, d, k >= 1. Centroids are (k, d) double, row after row.
 * Entries are only ever added at the end of the table while CKMEANS_ABI stays as it is.
 */
#ifndef CKMEANS_H
#define CKMEANS_H

#include <stddef.h>
#include <stdint.h>

#define CKMEANS_ABI 1

typedef struct {
    ptrdiff_t abi;   /* CKMEANS_ABI of the library */
    size_t size;     /* sizeof(ckmeans_api) of the library */

    /* Moves centroids to the means that totals (k, d + 2) stand for and clears those; returns how
     * many clusters are empty, whose centroids stay. inertia: sum of the last column, or NULL. */
    ptrdiff_t (*update)(double* totals, ptrdiff_t k, ptrdiff_t d, double* centroids,
                        double* inertia);

    /* Bytes for pack, and for the workspace of iterate; any alignment will do. */
    size_t (*packed_bytes_f32)(ptrdiff_t k, ptrdiff_t d);
    size_t (*workspace_bytes_f32)(ptrdiff_t k, ptrdiff_t d);
    /* Centroids as the kernels of this process take them; not to be moved or stored. */
    void (*pack_f32)(const double* centroids, ptrdiff_t k, ptrdiff_t d, void* packed);
    /* labels (n,): the nearest centroid by float64 distances, the lowest index on ties. */
    void (*assign_f32)(const float* X, ptrdiff_t n, ptrdiff_t d, ptrdiff_t row_step,
                       const double* centroids, ptrdiff_t k, const void* packed,
                       int32_t* labels);
    /* Adds w (x - c), w and w |x - c|^2 of each row to totals (k, d + 2); weight may be NULL. */
    void (*accumulate_f32)(const float* X, ptrdiff_t n, ptrdiff_t d, ptrdiff_t row_step,
                           const double* weight, const int32_t* labels,
                           const double* centroids, double* totals);
    /* One iteration: labels (in/out) of the nearest centroids, then centroids (in/out) at their
     * means. Returns how many labels changed; inertia is that before the centroids move. */
    ptrdiff_t (*iterate_f32)(const float* X, ptrdiff_t n, ptrdiff_t d, ptrdiff_t row_step,
                             const double* weight, double* centroids, ptrdiff_t k,
                             int32_t* labels, double* inertia, void* workspace);

    size_t (*packed_bytes_f64)(ptrdiff_t k, ptrdiff_t d);
    size_t (*workspace_bytes_f64)(ptrdiff_t k, ptrdiff_t d);
    void (*pack_f64)(const double* centroids, ptrdiff_t k, ptrdiff_t d, void* packed);
    void (*assign_f64)(const double* X, ptrdiff_t n, ptrdiff_t d, ptrdiff_t row_step,
                       const double* centroids, ptrdiff_t k, const void* packed,
                       int32_t* labels);
    void (*accumulate_f64)(const double* X, ptrdiff_t n, ptrdiff_t d, ptrdiff_t row_step,
                           const double* weight, const int32_t* labels,
                           const double* centroids, double* totals);
    ptrdiff_t (*iterate_f64)(const double* X, ptrdiff_t n, ptrdiff_t d, ptrdiff_t row_step,
                             const double* weight, double* centroids, ptrdiff_t k,
                             int32_t* labels, double* inertia, void* workspace);
} ckmeans_api;

#ifdef Py_PYTHON_H
static inline const ckmeans_api* ckmeans_import(void)
{
    const ckmeans_api* api = NULL;
    PyObject* module = PyImport_ImportModule("ckmeans._lloyd");
    PyObject* capsule = module ? PyObject_GetAttrString(module, "c_api") : NULL;
    if (capsule)
        api = (const ckmeans_api*)PyCapsule_GetPointer(capsule, "ckmeans._lloyd.c_api");
    Py_XDECREF(capsule);
    Py_XDECREF(module);
    if (api && (api->abi != CKMEANS_ABI || api->size < sizeof(ckmeans_api))) {
        PyErr_Format(PyExc_ImportError, "ckmeans has C interface %zd, %d is needed",
                     (Py_ssize_t)api->abi, CKMEANS_ABI);
        return NULL;
    }
    return api;
}
#endif

#endif
