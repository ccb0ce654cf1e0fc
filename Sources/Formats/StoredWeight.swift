import CoppiceTensors

/// A weight as a checkpoint keeps it: a format's name, the matrix's shape, named parts and options.
///
/// In a safetensors file part `codes` of weight `W` is the tensor `W.codes`; a part with an empty name is the tensor
/// `W` itself (the only part of a dense weight). Everything read from a file is untrusted: the accessors below
/// check what they return.
public struct StoredWeight: Sendable {
    /// The weight's name in its checkpoint, for error messages.
    public var name: String
    /// ``WeightFormat/name`` of the format.
    public var format: String
    /// `[rows, columns]`.
    public var shape: [Int]
    /// The parts.
    public var tensors: [String: Tensor]
    /// Options of the format, such as `"bits": "4"`.
    public var options: [String: String]

    public init(
        name: String = "weight", format: String, shape: [Int], tensors: [String: Tensor],
        options: [String: String] = [:]
    ) {
        self.name = name
        self.format = format
        self.shape = shape
        self.tensors = tensors
        self.options = options
    }
}

extension StoredWeight {
    /// Bytes that the parts take in a file.
    public var byteCount: Int { tensors.values.reduce(0) { $0 + $1.byteCount } }

    /// Extents beyond this are refused, so that no product of two of them and an element size overflows.
    package static let largestExtent = 1 << 28

    /// The matrix's extents.
    ///
    /// - Throws: `badData` unless the shape is two extents in `0 ... 2^28`.
    func matrixShape() throws -> (rows: Int, columns: Int) {
        guard shape.count == 2, shape.allSatisfy({ (0...Self.largestExtent).contains($0) }) else {
            throw failure("shape", "expected [rows, columns], each at most \(Self.largestExtent), found \(shape)")
        }
        return (shape[0], shape[1])
    }

    /// A part of the given type and shape, in contiguous memory.
    func part(_ part: String, _ dataType: DataType, _ expected: [Int]) throws -> Tensor {
        guard let tensor = tensors[part] else { throw failure(part, "is missing, expected \(dataType) \(expected)") }
        guard tensor.dataType == dataType, tensor.shape == expected else {
            throw failure(part, "expected \(dataType) \(expected), found \(tensor.dataType) \(tensor.shape)")
        }
        return tensor.contiguous()
    }

    /// A part that is a vector of any length.
    func vectorPart(_ part: String, _ dataType: DataType) throws -> Tensor {
        guard let tensor = tensors[part] else { throw failure(part, "is missing, expected \(dataType) [count]") }
        guard tensor.dataType == dataType, tensor.rank == 1 else {
            throw failure(part, "expected \(dataType) [count], found \(tensor.dataType) \(tensor.shape)")
        }
        return tensor.contiguous()
    }

    /// An option that is a whole number in a range.
    func integerOption(_ key: String, in range: ClosedRange<Int>) throws -> Int {
        guard let text = options[key] else { throw failure("options.\(key)", "is missing") }
        guard let value = Int(text), range.contains(value) else {
            throw failure("options.\(key)", "expected a whole number in \(range), found \"\(text)\"")
        }
        return value
    }

    /// An option that is one of a few words.
    func option(_ key: String, oneOf words: [String]) throws -> String {
        guard let text = options[key] else { throw failure("options.\(key)", "is missing") }
        guard words.contains(text) else {
            throw failure("options.\(key)", "expected one of \(words.joined(separator: ", ")), found \"\(text)\"")
        }
        return text
    }

    /// An error about one of this weight's parts (or `shape`, or an option).
    func failure(_ part: String, _ message: String) -> CoppiceError {
        CoppiceError(.badData, field: part.isEmpty ? name : "\(name).\(part)", message)
    }
}
