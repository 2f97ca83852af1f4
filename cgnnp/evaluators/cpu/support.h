// Building blocks of every generated network: SIMD vectors of channels, a team of threads, linear maps, and the gate.
// REAL and LANES must be defined before this file is included.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

typedef REAL real;
typedef real vec __attribute__((vector_size(LANES * sizeof(real)), aligned(sizeof(real)), may_alias));

static inline vec load(const real* p) { return *(const vec*)p; }
static inline void store(real* p, vec v) { *(vec*)p = v; }
static inline real sum(vec v) {
    real total = 0;
    for (int k = 0; k < LANES; k++) total += v[k];
    return total;
}

// A fixed number of threads that all run the same function, with barriers. A waiting thread spins for some microseconds and
// then sleeps, because on a busy machine a spinning thread may occupy the core that another thread needs. OpenMP is not
// used, because its thread pool is shared with torch.
class Team {
public:
    explicit Team(int size) : size_(size) {
        for (int k = 1; k < size; k++) std::thread([this, k] { work(k); }).detach();
    }
    int size() const { return size_; }
    void run(const std::function<void(int)>& job) {
        if (size_ == 1) return job(0);
        job_ = &job;
        running_.store(size_ - 1);
        announce([this] { generation_.fetch_add(1); });
        job(0);
        wait([this] { return running_.load(std::memory_order_acquire) == 0; });
    }
    void barrier() {
        if (size_ == 1) return;
        const int now = phase_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1) + 1 == size_) {
            arrived_.store(0);
            announce([this, now] { phase_.store(now + 1, std::memory_order_release); });
        } else {
            wait([this, now] { return phase_.load(std::memory_order_acquire) != now; });
        }
    }

private:
    template <class Change>
    void announce(Change change) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            change();
        }
        changed_.notify_all();
    }
    template <class Condition>
    void wait(Condition done) {
        for (int spins = 0; spins < 3000; spins++) {
            if (done()) return;
            pause();
        }
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, done);
    }
    static void pause() {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    void work(int rank) {
        for (long seen = 0;; seen++) {
            wait([this, seen] { return generation_.load(std::memory_order_acquire) != seen; });
            (*job_)(rank);
            announce([this] { running_.fetch_sub(1, std::memory_order_release); });
        }
    }
    int size_;
    std::mutex mutex_;
    std::condition_variable changed_;
    const std::function<void(int)>* job_ = nullptr;
    std::atomic<long> generation_{0};
    std::atomic<int> running_{0}, arrived_{0}, phase_{0};
};

// Returns the team of this size. A forked child process makes its own teams. Callers must hold `one_caller`.
static Team& team(int size) {
    static auto& teams = *new std::map<int, Team*>;  // never deleted, since calls may still come while the process ends
    static pid_t owner = 0;
    if (owner != getpid()) teams.clear();
    owner = getpid();
    Team*& found = teams[size];
    if (found == nullptr) found = new Team(size);  // never deleted, since its threads wait until the process ends
    return *found;
}
static std::mutex one_caller;

// Components of an array of beads. Each bead has `stride` numbers. Its components begin at `offset` and have `row` numbers
// each.
struct Rows {
    real* data;
    long stride, offset, row;
    real* at(long bead, int component) const { return data + bead * stride + offset + component * row; }
};

constexpr int BLOCK = 6;

template <int NV, int R>
static inline void block_product(real* const* x, real* const* y, int n_in, int n_out, const real* w, bool add) {
    vec total[R][NV];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < NV; v++) total[r][v] = add ? load(y[r] + v * LANES) : vec{};
    for (int k = 0; k < n_in; k++) {
        vec line[NV];
        for (int v = 0; v < NV; v++) line[v] = load(w + (long)k * n_out + v * LANES);
        for (int r = 0; r < R; r++)
            for (int v = 0; v < NV; v++) total[r][v] += x[r][k] * line[v];
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < NV; v++) store(y[r] + v * LANES, total[r][v]);
}

template <int NV>
static inline void block_columns(real** x, real** y, int rows, int n_in, int n_out, int column, const real* w, bool add) {
    for (int r = 0; r < rows; r++) y[r] += column;
    if (rows == BLOCK)
        block_product<NV, BLOCK>(x, y, n_in, n_out, w + column, add);
    else
        for (int r = 0; r < rows; r++) block_product<NV, 1>(x + r, y + r, n_in, n_out, w + column, add);
    for (int r = 0; r < rows; r++) y[r] -= column;
}

// Computes y = x w, or y += x w if `add`, for the given beads and the first `components` of x and y; w is (n_in, n_out).
static void linear(const Rows& x, const Rows& y, int components, int n_in, int n_out, const real* w, const int32_t* beads,
                   long n_beads, bool add) {
    real *from[BLOCK], *to[BLOCK];
    int filled = 0;
    auto flush = [&] {
        int column = 0;
        for (; column + 4 * LANES <= n_out; column += 4 * LANES)
            block_columns<4>(from, to, filled, n_in, n_out, column, w, add);
        for (; column + 2 * LANES <= n_out; column += 2 * LANES)
            block_columns<2>(from, to, filled, n_in, n_out, column, w, add);
        for (; column < n_out; column += LANES) block_columns<1>(from, to, filled, n_in, n_out, column, w, add);
        filled = 0;
    };
    for (long k = 0; k < n_beads; k++)
        for (int m = 0; m < components; m++) {
            from[filled] = x.at(beads[k], m);
            to[filled++] = y.at(beads[k], m);
            if (filled == BLOCK) flush();
        }
    if (filled > 0) flush();
}

// Computes w += x^T y, summed over the given beads and the first `components` of x and y; w is (n_in, n_out).
static void outer(const Rows& x, const Rows& y, int components, int n_in, int n_out, real* w, const int32_t* beads,
                  long n_beads) {
    constexpr int K = 4;
    for (int k = 0; k < n_in; k += K)
        for (int column = 0; column < n_out; column += LANES) {
            vec total[K];
            for (int r = 0; r < K; r++) total[r] = load(w + (long)(k + r) * n_out + column);
            for (long b = 0; b < n_beads; b++)
                for (int m = 0; m < components; m++) {
                    const real* left = x.at(beads[b], m) + k;
                    vec right = load(y.at(beads[b], m) + column);
                    for (int r = 0; r < K; r++) total[r] += left[r] * right;
                }
            for (int r = 0; r < K; r++) store(w + (long)(k + r) * n_out + column, total[r]);
        }
}

static void transpose(const real* w, real* out, int n_in, int n_out) {
    for (int k = 0; k < n_in; k++)
        for (int j = 0; j < n_out; j++) out[(long)j * n_in + k] = w[(long)k * n_out + j];
}

// SiLU with unit second moment, and its first and second derivative. The exponent is limited, because the exponential must
// not overflow: -ffast-math does not support infinity.
struct Activation {
    real value, first, second;
};
static inline Activation activation(real x) {
    constexpr real unit = (real)1.6765325;
    real s = 1 / (1 + std::exp(std::min(-x, (real)80))), d = s * (1 - s);
    return {unit * x * s, unit * (s + x * d), unit * d * (2 + x * (1 - 2 * s))};
}

// The gate of one bead. y is its input: (1 + DEGREES) * C scalars and gate scalars, then the components of higher degrees.
// x is its output: the gated features.
template <int DEGREES, int C>
struct Gate {
    static constexpr int SCALARS = (1 + DEGREES) * C;
    static void forward(const real* y, real* x) {
        for (int c = 0; c < C; c++) x[c] = activation(y[c]).value;
        for (int l = 1; l <= DEGREES; l++) {
            real gate[C];
            for (int c = 0; c < C; c++) gate[c] = activation(y[l * C + c]).value;
            for (int m = l * l; m < (l + 1) * (l + 1); m++)
                for (int c = 0; c < C; c++) x[m * C + c] = gate[c] * y[SCALARS + (m - 1) * C + c];
        }
    }
    // Computes the adjoint of y from the adjoint of x.
    static void reverse(const real* y, const real* xa, real* ya) {
        for (int c = 0; c < C; c++) ya[c] = activation(y[c]).first * xa[c];
        for (int l = 1; l <= DEGREES; l++) {
            real gate[C], slope[C], inner[C] = {};
            for (int c = 0; c < C; c++) {
                Activation a = activation(y[l * C + c]);
                gate[c] = a.value, slope[c] = a.first;
            }
            for (int m = l * l; m < (l + 1) * (l + 1); m++)
                for (int c = 0; c < C; c++) {
                    inner[c] += y[SCALARS + (m - 1) * C + c] * xa[m * C + c];
                    ya[SCALARS + (m - 1) * C + c] = gate[c] * xa[m * C + c];
                }
            for (int c = 0; c < C; c++) ya[l * C + c] = slope[c] * inner[c];
        }
    }
    // Computes the tangent of x from the tangent of y.
    static void tangent(const real* y, const real* yt, real* xt) {
        for (int c = 0; c < C; c++) xt[c] = activation(y[c]).first * yt[c];
        for (int l = 1; l <= DEGREES; l++) {
            real gate[C], moved[C];
            for (int c = 0; c < C; c++) {
                Activation a = activation(y[l * C + c]);
                gate[c] = a.value, moved[c] = a.first * yt[l * C + c];
            }
            for (int m = l * l; m < (l + 1) * (l + 1); m++)
                for (int c = 0; c < C; c++)
                    xt[m * C + c] =
                        gate[c] * yt[SCALARS + (m - 1) * C + c] + moved[c] * y[SCALARS + (m - 1) * C + c];
        }
    }
    // Computes the tangent of the adjoint of y.
    static void reverse_tangent(const real* y, const real* yt, const real* xa, const real* xat, real* yat) {
        for (int c = 0; c < C; c++) {
            Activation a = activation(y[c]);
            yat[c] = a.second * yt[c] * xa[c] + a.first * xat[c];
        }
        for (int l = 1; l <= DEGREES; l++) {
            real gate[C], moved[C], slope[C], bend[C], inner[C] = {}, turned[C] = {};
            for (int c = 0; c < C; c++) {
                Activation a = activation(y[l * C + c]);
                gate[c] = a.value, slope[c] = a.first;
                moved[c] = a.first * yt[l * C + c], bend[c] = a.second * yt[l * C + c];
            }
            for (int m = l * l; m < (l + 1) * (l + 1); m++)
                for (int c = 0; c < C; c++) {
                    long other = SCALARS + (m - 1) * C + c, mc = m * C + c;
                    inner[c] += y[other] * xa[mc];
                    turned[c] += yt[other] * xa[mc] + y[other] * xat[mc];
                    yat[other] = moved[c] * xa[mc] + gate[c] * xat[mc];
                }
            for (int c = 0; c < C; c++) yat[l * C + c] = bend[c] * inner[c] + slope[c] * turned[c];
        }
    }
};

// Clamps a distance: it is r above edge + width and constant below `edge`, the first sampled distance. The result has two
// continuous derivatives; `slope` is the first.
static inline void hold(real r, real edge, real width, real& held, real& slope) {
    if (r >= edge + width) {
        held = r, slope = 1;
        return;
    }
    real x = std::max((r - edge) / width, (real)0);
    held = edge + width * ((real)0.5 + x * x * x - (real)0.5 * x * x * x * x);
    slope = x * x * (3 - 2 * x);
}

// Computes the values b[0..3] and derivatives b[4..7] of the four cubic B-splines that are nonzero at x, which is in units
// of the knot spacing. Returns the index of the first of them.
static inline int splines(real x, int knots, real* b) {
    x = std::min(x, (real)knots);
    int index = std::min((int)x, knots - 1);
    real t = x - index, s = 1 - t;
    constexpr real sixth = (real)1 / 6;
    b[0] = sixth * s * s * s, b[3] = sixth * t * t * t;
    b[1] = sixth * (4 + 3 * t * t * (t - 2)), b[2] = sixth * (4 + 3 * s * s * (s - 2));
    b[4] = -(real)0.5 * s * s, b[7] = (real)0.5 * t * t;
    b[5] = (real)0.5 * t * (3 * t - 4), b[6] = -(real)0.5 * s * (3 * s - 4);
    return index;
}
