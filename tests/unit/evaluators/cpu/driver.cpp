// Calls the generated code as Python does, through its C interface: every file that is named holds the arguments of one call,
// each of 8 bytes, as Python handed them over. Every file has a thread of its own, which calls again and again, from memory
// that is exactly as large as Python's. Afterwards FILE.out holds the arguments as the last call left them.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

extern "C" {
void cgnnp_evaluate(const void* problem);
void cgnnp_differentiate(const void* problem);
void cgnnp_transpose(const void* theta, void* out);
double cgnnp_pair_forces(int64_t beads, int64_t edges, const int64_t* receivers, const int64_t* senders,
                         const double* positions, const double* shifts, const int64_t* types, int64_t n_types,
                         const int64_t* table_of, int64_t intervals, double cutoff, const double* coefficients, double bound,
                         double* forces);
int64_t cgnnp_neighbors(int64_t beads, const double* positions, const double* box, double cutoff, int64_t capacity,
                        int64_t* receivers, int64_t* senders, double* shifts);
}

union Argument {
    int64_t whole;
    double number;
    void* array;
    template <class T>
    operator T*() const {
        return static_cast<T*>(array);
    }
};

// In a file: what is called, their number, and of each argument the size of its array and the array; -1 and 8 bytes of a number.
struct Call {
    int64_t what, size;
    std::vector<int64_t> sizes;
    std::vector<Argument> arguments;

    explicit Call(const std::string& path) {
        std::ifstream file(path, std::ios::binary);
        file.exceptions(std::ios::failbit);
        auto read = [&](void* to, int64_t bytes) { file.read(static_cast<char*>(to), bytes); };
        read(&what, 8), read(&size, 8);
        sizes.resize(size), arguments.resize(size);
        for (int64_t k = 0; k < size; k++) {
            read(&sizes[k], 8);
            if (sizes[k] < 0)
                read(&arguments[k], 8);
            else
                read(arguments[k].array = std::malloc(sizes[k]), sizes[k]);
        }
    }
    ~Call() {
        for (int64_t k = 0; k < size; k++)
            if (sizes[k] >= 0) std::free(arguments[k].array);
    }
    void run() {
        const Argument* a = arguments.data();
        if (what == 0) cgnnp_evaluate(a);
        if (what == 1) cgnnp_evaluate(a), cgnnp_differentiate(a);
        if (what == 2) cgnnp_transpose(a[0], a[1]);
        if (what == 3)
            arguments[14].number =
                cgnnp_pair_forces(a[0].whole, a[1].whole, a[2], a[3], a[4], a[5], a[6], a[7].whole, a[8], a[9].whole,
                                  a[10].number, a[11], a[12].number, a[13]);
        if (what == 4)
            arguments[8].whole = cgnnp_neighbors(a[0].whole, a[1], a[2], a[3].number, a[4].whole, a[5], a[6], a[7]);
    }
    void write(const std::string& path) const {
        std::ofstream file(path, std::ios::binary);
        for (int64_t k = 0; k < size; k++)
            if (sizes[k] < 0)
                file.write(reinterpret_cast<const char*>(&arguments[k]), 8);
            else
                file.write(static_cast<const char*>(arguments[k].array), sizes[k]);
    }
};

int main(int n, char** files) {
    std::vector<std::thread> callers;
    for (int k = 1; k < n; k++)
        callers.emplace_back([path = std::string(files[k])] {
            Call call(path);
            for (int again = 0; again < 5; again++) call.run();
            call.write(path + ".out");
        });
    for (std::thread& caller : callers) caller.join();
}
