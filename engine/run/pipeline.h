// Convolutions that run together, some rows at a time: engine/plan/pipelines.h.
#pragma once

#include <vector>

#include "engine/run/bind.h"

namespace konv::run {

/// One convolution of a pipeline. The views of what lies in a band have its strides and no data: a band is part of each thread's workspace.
struct Stage {
  const Code<ConvShape, ConvArgs>* code;
  ConvArgs args;
  std::int64_t band = 0;       ///< bytes from the workspace's begin to the first pixel of the band it writes; not of the last one
  std::int64_t band_rows = 0;  ///< that the band holds
  int left = 0, right = 0;     ///< pixels of zeros beside the band's rows
};

class PipelineCall final : public Call {
 public:
  /// `rows`: of the last output at a time; `chunk_rows`: of a chunk; `kernels`: offset of the kernels' workspace.
  PipelineCall(std::vector<Stage> stages, std::int64_t rows, std::int64_t chunk_rows, std::int64_t kernels);
  std::int64_t chunks() const;
  void run(std::int64_t chunk, void* workspace) const override;

 private:
  std::vector<Stage> stages_;
  std::int64_t rows_, chunk_rows_, kernels_;
};

}  // namespace konv::run
