// The part of a compiled network that is the same for all architectures: its input, the geometry of the edges, and the
// forces. It is included after the generated constants CHANNELS, ANGULAR, HARMONICS, KNOTS, TYPES, BEAD (numbers per bead in
// a work array) and THETA, and after the functions harmonics, angular_table and harmonic_slopes.

// The input from Python. Lengths are in nm, energies in kJ/mol. Neighbour lists hold every pair twice, sorted by receiver.
struct Problem {
    int64_t beads, edges, threads;
    const int64_t *types, *receivers, *senders;
    const double* positions;  // null, or positions: edge vectors are positions[sender] - positions[receiver] + shift
    const double* shifts;
    const real* vectors;      // edge vectors, used if `positions` is null
    const real* inner;        // (TYPES, TYPES), or (classes, TYPES, TYPES): first sampled distances
    const int64_t* classes;   // class of each edge; null means that all edges have the first class
    double inner_width, cutoff;
    const real *theta, *theta_t;  // weights, and the weights with every matrix transposed
    real *values, *adjoints, *tangents, *adjoint_tangents;  // (beads, BEAD) each; the last two only for cgnnp_differentiate
    int32_t* edge_numbers;                                  // see edges_of
    real* edge_reals;                                       // (edges, EDGE)
    real *edge_tangents;                                    // (edges, 1 + ANGULAR), only for cgnnp_differentiate
    real* partial_forces;                                   // (threads, beads, 3)
    real* energies;                                         // (beads)
    double* forces;                                         // (beads, 3)
    const real* displacements;                              // (beads, 3), only for cgnnp_differentiate
    const real* energy_weights;                             // (beads)
    real* partial_gradients;                                // (threads, THETA)
    real* gradient;                                         // (THETA)
};

struct Edges {
    const int64_t* start;
    int64_t* stop;
    int32_t *sender, *knot;
    real *splines, *angular, *direction, *length_a, *harmonics_a, *length_t, *angular_t;
};

constexpr long EDGE = 8 + ANGULAR + 4 + 1 + HARMONICS;

// The beads [first, last) of one thread; `beads` lists them sorted by type.
struct Part {
    long first, last;
    std::vector<int32_t> beads;
    long type_start[TYPES + 1];
    Part(const Problem& p, int rank) {
        first = p.beads * rank / p.threads, last = p.beads * (rank + 1) / p.threads;
        beads.reserve(last - first);
        for (int type = 0; type < TYPES; type++) {
            type_start[type] = beads.size();
            for (long i = first; i < last; i++)
                if (p.types[i] == type) beads.push_back((int32_t)i);
        }
        type_start[TYPES] = beads.size();
    }
    const int32_t* of(int type) const { return beads.data() + type_start[type]; }
    long count(int type) const { return type_start[type + 1] - type_start[type]; }
};

static Edges edges_of(const Problem& p) {
    Edges g;
    real* reals = p.edge_reals;
    auto take = [&](long size) {
        real* mine = reals;
        reals += p.edges * size;
        return mine;
    };
    g.splines = take(8), g.angular = take(ANGULAR), g.direction = take(4), g.length_a = take(1);
    g.harmonics_a = take(HARMONICS);
    g.length_t = p.edge_tangents;
    g.angular_t = p.edge_tangents == nullptr ? nullptr : p.edge_tangents + p.edges;
    int64_t* starts = (int64_t*)p.edge_numbers;
    g.start = starts, g.stop = starts + p.beads + 1;
    g.sender = (int32_t*)(starts + 2 * p.beads + 1), g.knot = g.sender + p.edges;
    return g;
}

// Finds where the edges of each bead start, from the sorted receivers.
static void find_starts(const Problem& p) {
    int64_t* starts = (int64_t*)p.edge_numbers;
    long e = 0;
    for (long i = 0; i <= p.beads; i++) {
        while (e < p.edges && p.receivers[e] < i) e++;
        starts[i] = e;
    }
}

// Computes the splines, couplings and directions of the edges of beads first to last. Positions may give edges beyond the
// cutoff, which are left out: the remaining edges of a bead are moved to the front of its part of the list.
static void measure(const Problem& p, const Edges& g, long first, long last) {
    const double limit = p.cutoff * p.cutoff;
    const real spacing = (real)(KNOTS / p.cutoff), width = (real)p.inner_width;
    for (long i = first; i < last; i++) {
        long to = g.start[i];
        for (long e = g.start[i]; e < g.start[i + 1]; e++) {
            long j = p.senders[e];
            real d[3];
            if (p.positions != nullptr) {
                double exact[3], square = 0;
                for (int k = 0; k < 3; k++) {
                    exact[k] = p.positions[3 * j + k] - p.positions[3 * i + k] + p.shifts[3 * e + k];
                    square += exact[k] * exact[k];
                }
                if (square >= limit) continue;
                for (int k = 0; k < 3; k++) d[k] = (real)exact[k];
            } else {
                for (int k = 0; k < 3; k++) d[k] = p.vectors[3 * e + k];
            }
            real r = std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]), inverse = 1 / r, held, slope;
            const long kind = p.classes == nullptr ? 0 : p.classes[e];
            hold(r, p.inner[(kind * TYPES + p.types[i]) * TYPES + p.types[j]], width, held, slope);
            real* b = g.splines + 8 * to;
            g.knot[to] = splines(held * spacing, KNOTS, b);
            for (int k = 4; k < 8; k++) b[k] *= slope * spacing;
            real* u = g.direction + 4 * to;
            for (int k = 0; k < 3; k++) u[k] = d[k] * inverse;
            u[3] = inverse;
            real h[HARMONICS + 1];
            harmonics(u[0], u[1], u[2], h);
            angular_table(h, g.angular + to * ANGULAR);
            g.length_a[to] = 0;
            for (int k = 0; k < HARMONICS; k++) g.harmonics_a[to * HARMONICS + k] = 0;
            g.sender[to++] = (int32_t)j;
        }
        g.stop[i] = to;
    }
}

// Computes the directional derivatives of lengths and couplings along the displacement of the beads.
static void measure_tangents(const Problem& p, const Edges& g, long first, long last) {
    for (long i = first; i < last; i++)
        for (long e = g.start[i]; e < g.stop[i]; e++) {
            const real *u = g.direction + 4 * e, *from = p.displacements + 3 * i;
            const real* to = p.displacements + 3 * g.sender[e];
            real moved[3], along = 0, slopes[HARMONICS + 1][3], h[HARMONICS + 1];
            for (int k = 0; k < 3; k++) moved[k] = to[k] - from[k], along += moved[k] * u[k];
            for (int k = 0; k < 3; k++) moved[k] = (moved[k] - along * u[k]) * u[3];
            harmonic_slopes(u[0], u[1], u[2], slopes);
            for (int b = 0; b <= HARMONICS; b++)
                h[b] = slopes[b][0] * moved[0] + slopes[b][1] * moved[1] + slopes[b][2] * moved[2];
            g.length_t[e] = along;
            angular_table(h, g.angular_t + e * ANGULAR);
        }
}

// Adds the forces that follow from the derivatives of the energy by the lengths and harmonics of the edges.
static void forces_of_edges(const Problem& p, const Edges& g, long first, long last, real* forces) {
    for (long i = first; i < last; i++) {
        real own[3] = {};
        for (long e = g.start[i]; e < g.stop[i]; e++) {
            const real* u = g.direction + 4 * e;
            real slopes[HARMONICS + 1][3], turned[3] = {};
            harmonic_slopes(u[0], u[1], u[2], slopes);
            for (int b = 1; b <= HARMONICS; b++)
                for (int k = 0; k < 3; k++) turned[k] += g.harmonics_a[e * HARMONICS + b - 1] * slopes[b][k];
            real along = turned[0] * u[0] + turned[1] * u[1] + turned[2] * u[2];
            real* other = forces + 3 * (long)g.sender[e];
            for (int k = 0; k < 3; k++) {
                real by_vector = g.length_a[e] * u[k] + (turned[k] - along * u[k]) * u[3];
                own[k] += by_vector;
                other[k] -= by_vector;
            }
        }
        for (int k = 0; k < 3; k++) forces[3 * i + k] += own[k];
    }
}

// Scalar product over the channels of one component.
static inline real dot(const real* x, const real* y) {
    vec total = {};
    for (int c = 0; c < CHANNELS; c += LANES) total += load(x + c) * load(y + c);
    return sum(total);
}
static inline void copy(const real* x, real* y, real factor) {
    for (int c = 0; c < CHANNELS; c++) y[c] = factor * x[c];
}
static inline void add(const real* x, real* y, real factor) {
    for (int c = 0; c < CHANNELS; c++) y[c] += factor * x[c];
}
static inline void zero(real* y) {
    for (int c = 0; c < CHANNELS; c++) y[c] = 0;
}

// The bounded energy of a bead, e / sqrt(1 + (e / BOUND)^2), and below its first and second derivatives by e. BOUND = 0
// means that there is no bound.
static inline real bounded(real e) {
    if constexpr (BOUND == 0) return e;
    real u = e / BOUND;
    return e / std::sqrt(1 + u * u);
}
static inline real bounded_slope(real e) {
    if constexpr (BOUND == 0) return 1;
    real u = e / BOUND, s = 1 / std::sqrt(1 + u * u);
    return s * s * s;
}
static inline real bounded_curvature(real e) {
    if constexpr (BOUND == 0) return 0;
    real u = e / BOUND, s = 1 / std::sqrt(1 + u * u), s2 = s * s;
    return -3 * u / BOUND * s2 * s2 * s;
}
