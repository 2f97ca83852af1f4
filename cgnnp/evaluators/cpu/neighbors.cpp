// Finds all ordered pairs of beads closer than a cutoff, in any periodic cell, sorted by receiver. The result is that of
// cgnnp.models.neighbors.neighbor_list, with the same pairs in the same order.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {
struct Cell {
    double box[9], inverse[9], heights[3];
    explicit Cell(const double* b) {
        std::copy(b, b + 9, box);
        double cross[9];  // rows: b1 x b2, b2 x b0, b0 x b1
        for (int k = 0; k < 3; k++) {
            const double *u = b + 3 * ((k + 1) % 3), *v = b + 3 * ((k + 2) % 3);
            for (int x = 0; x < 3; x++) cross[3 * k + x] = u[(x + 1) % 3] * v[(x + 2) % 3] - u[(x + 2) % 3] * v[(x + 1) % 3];
        }
        const double volume = b[0] * cross[0] + b[1] * cross[1] + b[2] * cross[2];
        for (int k = 0; k < 3; k++) {
            const double* c = cross + 3 * k;
            heights[k] = std::abs(volume) / std::sqrt(c[0] * c[0] + c[1] * c[1] + c[2] * c[2]);
            for (int x = 0; x < 3; x++) inverse[3 * x + k] = c[x] / volume;
        }
    }
};

void times(const double* row, const double* matrix, double* out) {
    for (int k = 0; k < 3; k++) out[k] = row[0] * matrix[k] + row[1] * matrix[3 + k] + row[2] * matrix[6 + k];
}
}  // namespace

// Returns the number of pairs. Pairs beyond the capacity of the arrays are counted but not stored.
extern "C" int64_t cgnnp_neighbors(int64_t beads, const double* positions, const double* box, double cutoff, int64_t capacity,
                                   int64_t* receivers, int64_t* senders, double* shifts) {
    const Cell cell(box);
    const double most = (double)(int64_t)(2 * std::pow((double)beads, 1.0 / 3.0)) + 1;
    int64_t n_cells[3], reach[3];
    for (int k = 0; k < 3; k++) {
        n_cells[k] = (int64_t)std::clamp(std::floor(cell.heights[k] / cutoff), 1.0, most);
        reach[k] = (int64_t)std::ceil(cutoff * n_cells[k] / cell.heights[k] - 1e-9);
    }
    std::vector<double> inside(3 * beads), origins(3 * beads);
    std::vector<int64_t> place(3 * beads), home(beads);
    std::vector<int64_t> starts(n_cells[0] * n_cells[1] * n_cells[2] + 1, 0), order(beads);
    for (int64_t i = 0; i < beads; i++) {
        double fractional[3], whole[3];
        times(positions + 3 * i, cell.inverse, fractional);
        for (int k = 0; k < 3; k++) {
            whole[k] = std::floor(fractional[k]);
            fractional[k] -= whole[k];
            place[3 * i + k] = std::min((int64_t)(fractional[k] * n_cells[k]), n_cells[k] - 1);
        }
        times(fractional, cell.box, &inside[3 * i]);
        times(whole, cell.box, &origins[3 * i]);
        home[i] = (place[3 * i] * n_cells[1] + place[3 * i + 1]) * n_cells[2] + place[3 * i + 2];
        starts[home[i] + 1]++;
    }
    for (size_t c = 1; c < starts.size(); c++) starts[c] += starts[c - 1];
    std::vector<int64_t> next(starts.begin(), starts.end() - 1);
    for (int64_t i = 0; i < beads; i++) order[next[home[i]]++] = i;
    std::vector<double> sorted(3 * beads);
    for (int64_t k = 0; k < beads; k++)
        for (int x = 0; x < 3; x++) sorted[3 * k + x] = inside[3 * order[k] + x];

    const double limit = cutoff * cutoff;
    int64_t found = 0;
    for (int64_t i = 0; i < beads; i++) {
        int64_t at[3], other[3], image[3];
        for (at[0] = -reach[0]; at[0] <= reach[0]; at[0]++)
            for (at[1] = -reach[1]; at[1] <= reach[1]; at[1]++)
                for (at[2] = -reach[2]; at[2] <= reach[2]; at[2]++) {
                    double copies[3], vector[3];
                    for (int k = 0; k < 3; k++) {
                        const int64_t here = place[3 * i + k] + at[k];
                        image[k] = here >= 0 ? here / n_cells[k] : -((n_cells[k] - 1 - here) / n_cells[k]);
                        other[k] = here - image[k] * n_cells[k];
                        copies[k] = (double)image[k];
                    }
                    times(copies, cell.box, vector);
                    const int64_t c = (other[0] * n_cells[1] + other[1]) * n_cells[2] + other[2];
                    const double from[3] = {vector[0] - inside[3 * i], vector[1] - inside[3 * i + 1],
                                            vector[2] - inside[3 * i + 2]};
                    for (int64_t k = starts[c]; k < starts[c + 1]; k++) {
                        const double *p = &sorted[3 * k], dx = p[0] + from[0], dy = p[1] + from[1], dz = p[2] + from[2];
                        const double square = dx * dx + dy * dy + dz * dz;
                        // A bead is not its own neighbour, but its images are, and so is another bead at the same place.
                        if (!(square < limit && (square > 0 || order[k] != i))) continue;
                        if (found < capacity) {
                            const int64_t j = order[k];
                            receivers[found] = i, senders[found] = j;
                            for (int x = 0; x < 3; x++)
                                shifts[3 * found + x] = vector[x] + origins[3 * i + x] - origins[3 * j + x];
                        }
                        found++;
                    }
                }
    }
    return found;
}
