#include "engine/api/tuning.h"

#include <fmt/format.h>

#include "engine/api/device_choice.h"
#include "engine/api/plan_file.h"
#include "engine/run/tune.h"

namespace konv::api {
namespace {

/// Gives the pool back even when tuning throws.
class Lease {
 public:
  explicit Lease(ThreadPool* pool) : pool_(pool && pool->threads() > 1 && pool->try_acquire() ? pool : nullptr) {}
  ~Lease() {
    if (pool_) pool_->release();
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  ThreadPool* get() const { return pool_; }

 private:
  ThreadPool* pool_;
};

}  // namespace

std::map<std::string, std::string> tuned_kernels(const run::Network& network, const std::string& description,
                                                 const std::vector<Dims>& shapes, const Machine& machine, const SessionOptions& options,
                                                 ThreadPool* pool) {
  const bool tunes = options.tune != "off";
  if (!tunes && options.plan_file.empty()) return {};
  PlanFile file(options.plan_file);
  const int threads = pool ? pool->threads() : 1;
  const PlanKey key{fingerprint(description), shapes, threads, name(machine.isa), options.precision};
  if (file.exists() && !options.plan_file.empty() && file.foreign().empty()) {
    if (const std::optional<PlanEntry> entry = file.find(key)) return entry->kernels;
  }
  if (!tunes) {
    std::string fact = "is not there";
    if (file.exists()) {
      fact = file.foreign().empty() ? fmt::format("holds no plan for this model with these input shapes, {} threads, {} and {}", threads,
                                                  key.isa, key.precision)
                                    : file.foreign();
    }
    throw Error(fmt::format("{}: {}; expected --tune quick or full, which makes one", options.plan_file, fact));
  }
  if (!network.shape_inputs().empty())
    throw Error("--tune: shapes depend on what an input holds; expected a model whose input shapes say it all");
  const Lease lease(pool);
  const run::TuneOptions tune = options.tune == "full" ? run::TuneOptions{.within = 4, .rounds = 20} : run::TuneOptions{};
  const run::Tuned tuned = run::tune(std::make_shared<const Graph>(network.graph()), run::by_value(network.graph(), shapes), machine,
                                     options_on_cpu(options, threads), lease.get(), tune);
  if (!options.plan_file.empty()) {
    file.set(key, {tuned.kernels, tuned.default_seconds, tuned.seconds});
    file.save();
  }
  return tuned.kernels;
}

}  // namespace konv::api
