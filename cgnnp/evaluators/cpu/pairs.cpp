// Tabulated pair potentials: computes the energy of all pairs within the cutoff, and the forces on all beads.
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

// The list has every pair twice, as (i, j, shift) and (j, i, -shift). Only the entry with i < j is used; of a bead and its
// own image (i = j) both entries are used. For each table and each interval of r, `coefficients` holds the polynomial
// c0 + c1 t + c2 t^2 + c3 t^3, with t from 0 to 1.
struct Pairs {
    int64_t edges;
    const int64_t *receivers, *senders;
    const double *positions, *shifts;
    const int64_t* types;
    int64_t n_types;
    const int64_t* table_of;
    int64_t intervals;
    double cutoff;
    const double* coefficients;

    // Calls visit(i, j, vector from i to j, energy, derivative of the energy by the distance divided by the distance).
    template <class Visit>
    void each(Visit visit) const {
        const double limit = cutoff * cutoff, per_interval = intervals / cutoff;
        for (int64_t e = 0; e < edges; e++) {
            const int64_t i = receivers[e], j = senders[e];
            if (j < i) continue;
            double d[3], square = 0;
            for (int k = 0; k < 3; k++) {
                d[k] = positions[3 * j + k] - positions[3 * i + k] + shifts[3 * e + k];
                square += d[k] * d[k];
            }
            if (square >= limit) continue;
            const int64_t table = table_of[types[i] * n_types + types[j]];
            if (table < 0) continue;
            const double r = std::sqrt(square), x = r * per_interval;
            int64_t at = (int64_t)x;
            if (at >= intervals) at = intervals - 1;
            const double t = x - at, *c = coefficients + 4 * (table * intervals + at);
            visit(i, j, d, c[0] + t * (c[1] + t * (c[2] + t * c[3])), per_interval * (c[1] + t * (2 * c[2] + t * 3 * c[3])) / r);
        }
    }
};

}  // namespace

// Returns the sum of the energies of all beads. The energy e of a bead is half the energy of its pairs. With a `bound`
// B > 0 it is e / sqrt(1 + (e/B)^2) instead.
extern "C" double cgnnp_pair_forces(int64_t beads, int64_t edges, const int64_t* receivers, const int64_t* senders,
                                    const double* positions, const double* shifts, const int64_t* types, int64_t n_types,
                                    const int64_t* table_of, int64_t intervals, double cutoff, const double* coefficients,
                                    double bound, double* forces) {
    const Pairs pairs{edges,    receivers, senders,   positions, shifts,      types,
                      n_types, table_of,  intervals, cutoff,    coefficients};
    double energy = 0;
    std::vector<double> slopes;  // derivative of the bounded energy of each bead by its energy e
    if (bound > 0) {
        slopes.assign(beads, 0.0);
        pairs.each([&](int64_t i, int64_t j, const double*, double u, double) {
            slopes[i] += 0.5 * u;
            if (i != j) slopes[j] += 0.5 * u;
        });
        for (double& e : slopes) {
            const double shrink = 1 / std::sqrt(1 + (e / bound) * (e / bound));
            energy += e * shrink;
            e = shrink * shrink * shrink;
        }
    }
    for (int64_t k = 0; k < 3 * beads; k++) forces[k] = 0;
    pairs.each([&](int64_t i, int64_t j, const double* d, double u, double slope) {
        if (bound > 0)
            slope *= 0.5 * (slopes[i] + slopes[j]);
        else
            energy += i == j ? 0.5 * u : u;
        if (i == j) return;  // the forces from opposite images cancel
        for (int k = 0; k < 3; k++) {
            forces[3 * i + k] += slope * d[k];
            forces[3 * j + k] -= slope * d[k];
        }
    });
    return energy;
}
