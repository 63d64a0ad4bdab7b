// Single weights removed: optimal brain surgeon row by row, with one inverse for all rows (Frantar and Alistarh, SparseGPT, arXiv 2301.00774).
#pragma once

#include "engine/compress/matrix.h"

namespace konv::compress {

/// What each weight's removal would cost by itself, rising: w^2 / (H + l I)^-1_jj.
std::vector<double> weight_losses(const Matrix& w, const Matrix& h);

/// A mask [Cout, K] with about `share` zeros: column by column, what a removed weight leaves undone goes into the columns to come; in every block of columns the
/// cheapest go.
Matrix weight_mask(Matrix w, const Matrix& h, double share);

/// The weights with zeros where the mask has them that minimise w H w' - 2 t w' + l |w - original|^2 per row, by conjugate gradients from `start`.
Matrix masked_fit(const Matrix& h, const Matrix& t, const Matrix& original, double damping, const Matrix& mask, const Matrix& start);

}  // namespace konv::compress
