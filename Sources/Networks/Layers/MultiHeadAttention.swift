import CoppiceTensors

extension Tensor {
    /// Attention of every position to every other: softmax(q kᵀ / √size + bias) v, head by head (Vaswani et al.,
    /// "Attention is all you need", 2017, section 3.2.2).
    ///
    /// - Parameters:
    ///   - queries: `[examples, positions, heads · size]`, as are keys and values.
    ///   - headSize: of each head.
    ///   - bias: added to the scores, broadcast to `[examples, heads, positions, positions]`; nil for none.
    /// - Returns: `[examples, positions, heads · size]`.
    /// - Precondition: whole heads.
    public static func attention(
        _ queries: Tensor, _ keys: Tensor, _ values: Tensor, headSize: Int, bias: Tensor? = nil
    ) -> Tensor {
        let (examples, length, size) = (queries.shape[0], queries.shape[1], queries.shape[2])
        precondition(size % headSize == 0, "\(size) channels for heads of \(headSize)")
        func split(_ x: Tensor, _ order: [Int]) -> Tensor {
            x.reshaped([examples, length, size / headSize, headSize]).permuted(order)
        }
        let scores = split(queries, [0, 2, 1, 3]).matmul(split(keys, [0, 2, 3, 1]))
        let scale = 1 / Double(headSize).squareRoot()
        let shares = bias.map { (scores * scale + $0).softmax() } ?? scores.softmax(scale: scale)
        let mixed = shares.matmul(split(values, [0, 2, 1, 3])).permuted([0, 2, 1, 3])
        return mixed.reshaped([examples, length, size])
    }
}
