import CoppiceNetworks
import CoppiceTensors

/// Names and shapes of a checkpoint's tensors: what an architecture is recognized from.
public struct TensorShapes: Sendable {
    /// What errors call the checkpoint.
    public let source: String?
    private let names: [String]
    private let entries: [String: (shape: [Int], stored: String)]
    /// All names and what precedes a dot in them.
    private let prefixes: Set<String>

    /// - Throws: `.badData` where two tensors have one name.
    public init(source: String? = nil, _ tensors: [(name: String, shape: [Int])]) throws {
        let length = Self.wrapperLength(of: tensors.map(\.name))
        try self.init(source: source, entries: tensors.map { (String($0.name.dropFirst(length)), $0.shape, $0.name) })
    }

    /// The length of what names no layer and all names begin with: PyTorch saves networks that were trained in parallel
    /// under `module`, compiled ones under `_orig_mod`; Lightning puts them under `model`.
    private static func wrapperLength(of names: [String]) -> Int {
        var length = 0
        while let name = names.first?.dropFirst(length), let dot = name.firstIndex(of: "."),
            ["module", "_orig_mod", "model", "net", "state_dict"].contains(name[..<dot]),
            names.allSatisfy({ $0.dropFirst(length).hasPrefix(name[...dot]) })
        { length += name[...dot].count }
        return length
    }

    /// The tensors of a file, compressed ones as what they stand for.
    public init(_ file: SafetensorsFile) throws { try self.init(StoredTensors(file)) }

    /// The tensors of a checkpoint.
    public init(_ tensors: StoredTensors) throws {
        try self.init(source: tensors.source, tensors.names.map { ($0, tensors.shape(of: $0) ?? []) })
    }

    private init(source: String?, entries: [(name: String, shape: [Int], stored: String)]) throws {
        self.source = source
        names = entries.map(\.name)
        var found: [String: (shape: [Int], stored: String)] = [:]
        var prefixes: Set<String> = []
        for entry in entries {
            if let other = found.updateValue((entry.shape, entry.stored), forKey: entry.name) {
                throw CoppiceError(
                    .badData, source: source, field: entry.stored,
                    "is the same tensor of the architecture as \(other.stored)")
            }
            for place in entry.name.indices where entry.name[place] == "." {
                prefixes.insert(String(entry.name[..<place]))
            }
            prefixes.insert(entry.name)
        }
        self.entries = found
        self.prefixes = prefixes
    }

    /// The same tensors under other names.
    func renamed(_ renaming: ([String]) -> [String]) throws -> TensorShapes {
        try TensorShapes(
            source: source,
            entries: zip(names, renaming(names)).map { old, new in
                (new, entries[old]?.shape ?? [], entries[old]?.stored ?? old)
            })
    }

    /// The shape of a tensor; nil when there is none of this name.
    subscript(name: String) -> [Int]? { entries[name]?.shape }

    /// What the checkpoint calls a tensor.
    func storedName(_ name: String) -> String? { entries[name]?.stored }

    /// Whether there is a tensor of this name, or tensors in a module of this name.
    func contains(_ name: String) -> Bool { prefixes.contains(name) }

    /// Whether a layer's weight is there, with so many dimensions.
    func hasWeight(_ layer: String, rank: Int) -> Bool { self[layer + ".weight"]?.count == rank }

    /// Output channels of a layer.
    func outputs(_ layer: String) -> Int? { self[layer + ".weight"]?.first }

    /// An extent of a layer's weight.
    func extent(_ layer: String, _ axis: Int) -> Int? {
        self[layer + ".weight"].flatMap { $0.indices.contains(axis) ? $0[axis] : nil }
    }

    /// How many of `prefix` + 0, 1, 2… there are without a gap.
    func count(_ prefix: String, from first: Int = 0) -> Int {
        var next = first
        while prefixes.contains("\(prefix)\(next)") { next += 1 }
        return next - first
    }

    /// - Throws: `.badData` naming the first tensor of a network that is missing or has another shape, or the first that
    ///   is not the network's.
    func check(_ network: Module, named architecture: String) throws {
        func failure(_ name: String, _ message: String) -> CoppiceError {
            CoppiceError(.badData, source: source, field: storedName(name) ?? name, message)
        }
        var rest = Set(names)
        let parameters = network.parameters.map { ($0.name, $0.parameter.wrappedValue.shape) }
        for (name, shape) in parameters + network.stateTensors.map({ ($0.name, $0.state.wrappedValue.shape) }) {
            rest.remove(name)
            guard let own = self[name] else {
                if name.hasSuffix(Self.batchCountName) { continue }
                throw failure(name, "is missing, \(architecture) has it")
            }
            guard own == shape else { throw failure(name, "shape \(own), expected \(shape) in \(architecture)") }
        }
        if let other = names.first(where: rest.contains) { throw failure(other, "is no tensor of \(architecture)") }
    }

    /// The one state that checkpoints may lack.
    private static let batchCountName = "num_batches_tracked"
}
