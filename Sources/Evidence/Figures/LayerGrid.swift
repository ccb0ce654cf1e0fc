/// Values of a decoder's matrices arranged as kinds by blocks.
///
/// `model.layers.3.mlp.up_proj.weight` is kind `up` of block 3. Names without a block number are left out.
struct LayerGrid: Sendable {
    /// Kinds in the order of their first appearance.
    var kinds: [String]
    /// Block numbers, increasing.
    var layers: [Int]
    /// A value for each kind and block; NaN where there is none.
    var values: [[Double]]

    init(names: [String], values: [Double]) {
        var kinds: [String] = []
        var found: [(kind: String, layer: Int, value: Double)] = []
        for (name, value) in zip(names, values) {
            let parts = name.split(separator: ".")
            guard let position = parts.firstIndex(of: "layers"), position + 1 < parts.count,
                let layer = Int(parts[position + 1]), parts.last == "weight", position + 3 < parts.count
            else { continue }
            var kind = String(parts[parts.count - 2])
            if kind.hasSuffix("_proj") { kind.removeLast(5) }
            if !kinds.contains(kind) { kinds.append(kind) }
            found.append((kind, layer, value))
        }
        let layers = Set(found.map(\.layer)).sorted()
        var grid = [[Double]](repeating: [Double](repeating: .nan, count: layers.count), count: kinds.count)
        for entry in found {
            if let row = kinds.firstIndex(of: entry.kind), let column = layers.firstIndex(of: entry.layer) {
                grid[row][column] = entry.value
            }
        }
        self.kinds = kinds
        self.layers = layers
        self.values = grid
    }
}
