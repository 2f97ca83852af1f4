// The functions that Python calls. The generated code before this file defines the passes of the network over the beads of
// one thread (forward, reverse, tangent and reverse_tangent), and transpose_all, which transposes every matrix of theta.

extern "C" const int64_t cgnnp_sizes[] = {sizeof(Problem), THETA, BEAD, EDGE, ANGULAR + 1};

extern "C" void cgnnp_transpose(const real* theta, real* out) { transpose_all(theta, out); }

// Returns element k of the sum of the arrays of all threads, which have `size` numbers each.
template <class Sum>
static Sum total_of(const real* partial, long size, long threads, long k) {
    Sum total = 0;
    for (long rank = 0; rank < threads; rank++) total += partial[rank * size + k];
    return total;
}

// Computes the energies of all beads and the forces on them.
extern "C" void cgnnp_evaluate(const Problem* problem) {
    const Problem& p = *problem;
    const std::lock_guard<std::mutex> only(one_caller);
    Team& crew = team((int)p.threads);
    const Edges g = edges_of(p);
    const long size = 3 * p.beads;
    find_starts(p);
    crew.run([&](int rank) {
        const Part part(p, rank);
        measure(p, g, part.first, part.last);
        forward(p, g, part, crew, nullptr);
        reverse(p, g, part, crew, nullptr);
        real* forces = p.partial_forces + rank * size;
        std::fill(forces, forces + size, (real)0);
        forces_of_edges(p, g, part.first, part.last, forces);
        crew.barrier();
        for (long k = 3 * part.first; k < 3 * part.last; k++)
            p.forces[k] = total_of<double>(p.partial_forces, size, p.threads, k);
    });
}

// Computes the derivative by theta of sum_i energy_weights_i E_i + sum_i displacement_i . dE/dx_i. cgnnp_evaluate must have
// been called before.
extern "C" void cgnnp_differentiate(const Problem* problem) {
    const Problem& p = *problem;
    const std::lock_guard<std::mutex> only(one_caller);
    Team& crew = team((int)p.threads);
    const Edges g = edges_of(p);
    crew.run([&](int rank) {
        const Part part(p, rank);
        real* gradient = p.partial_gradients + rank * THETA;
        std::fill(gradient, gradient + THETA, (real)0);
        measure_tangents(p, g, part.first, part.last);
        tangent(p, g, part, crew, nullptr);
        reverse_tangent(p, g, part, crew, gradient);
        crew.barrier();
        for (long k = THETA * rank / p.threads; k < THETA * (rank + 1) / p.threads; k++)
            p.gradient[k] = total_of<real>(p.partial_gradients, THETA, p.threads, k);
    });
}
