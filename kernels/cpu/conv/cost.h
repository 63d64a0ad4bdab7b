// What convolution kernels would cost on one core of a machine, in seconds: arithmetic at a share of the peak plus memory traffic.
#pragma once

#include "kernels/base/conv_shape.h"
#include "kernels/base/machine.h"

namespace konv {

double cost_pointwise(const ConvShape& s, const Machine& m);
double cost_im2col(const ConvShape& s, const Machine& m);
double cost_im2col_openblas(const ConvShape& s, const Machine& m);
double cost_depthwise(const ConvShape& s, const Machine& m);
double cost_blocked(const ConvShape& s, const Machine& m);
double cost_igemm(const ConvShape& s, const Machine& m);
double cost_igemm_wbf16(const ConvShape& s, const Machine& m);
double cost_igemm_bf16(const ConvShape& s, const Machine& m);
double cost_igemm_bf16_tiles(const ConvShape& s, const Machine& m);
double cost_igemm_bf16x6(const ConvShape& s, const Machine& m);
template <int Tile>
double cost_winograd(const ConvShape& s, const Machine& m);
double cost_winograd4_w9(const ConvShape& s, const Machine& m);
double cost_fft16(const ConvShape& s, const Machine& m);
double cost_depthwise_blocked(const ConvShape& s, const Machine& m);
double cost_direct(const ConvShape& s, const Machine& m);
double cost_kept(const ConvShape& s, const Machine& m);
double cost_im2col_kept(const ConvShape& s, const Machine& m);
double cost_sparse(const ConvShape& s, const Machine& m);
double cost_last_resort(const ConvShape& s, const Machine& m);

}  // namespace konv
