import CoppiceFormats
import CoppiceNetworks
import CoppiceTensors

extension Tensor {
    /// The place, in row-major order, of the first element that is NaN or infinite; nil when all are finite (as
    /// integers always are). O(elements).
    public var firstNonFiniteIndex: Int? {
        switch dataType {
        case .f32: firstIndex(of: UInt32.self) { $0 & 0x7f80_0000 == 0x7f80_0000 }
        case .f64: firstIndex(of: UInt64.self) { $0 & 0x7ff0_0000_0000_0000 == 0x7ff0_0000_0000_0000 }
        case .bf16: firstIndex(of: UInt16.self) { $0 & 0x7f80 == 0x7f80 }
        case .f16: firstIndex(of: UInt16.self) { $0 & 0x7c00 == 0x7c00 }
        case .i8, .u8, .i32, .i64, .bool: nil
        }
    }

    /// - Throws: `.badData` with the name, and the place of the first NaN or infinity. O(elements).
    package func checkFinite(_ name: String, source: String?) throws {
        guard let index = firstNonFiniteIndex else { return }
        let place = rank == 2 ? "[\(index / shape[1]), \(index % shape[1])]" : "[\(index)]"
        let value = contiguous().reshaped([count]).slice(axis: 0, index..<index + 1).doubles()[0]
        throw CoppiceError(
            .badData, source: source, field: name,
            "is \(value.isNaN ? "NaN" : "infinite") at \(place), expected finite weights")
    }

    /// Elements that are zero. O(elements).
    public var zeroCount: Int {
        switch dataType {
        case .f32: count(of: UInt32.self) { $0 & 0x7fff_ffff == 0 }
        case .f64: count(of: UInt64.self) { $0 & 0x7fff_ffff_ffff_ffff == 0 }
        case .bf16, .f16: count(of: UInt16.self) { $0 & 0x7fff == 0 }
        case .i32: count(of: UInt32.self) { $0 == 0 }
        case .i64: count(of: UInt64.self) { $0 == 0 }
        case .i8, .u8, .bool: count(of: UInt8.self) { $0 == 0 }
        }
    }

    private func withBits<Bits: FixedWidthInteger, Result>(
        _ type: Bits.Type, _ body: (UnsafeBufferPointer<Bits>) -> Result
    ) -> Result {
        let source = contiguous()
        return withExtendedLifetime(source.storage) {
            body(UnsafeBufferPointer(start: source.basePointer.assumingMemoryBound(to: Bits.self), count: count))
        }
    }

    @inline(__always)
    private func firstIndex<Bits: FixedWidthInteger>(of type: Bits.Type, _ matches: (Bits) -> Bool) -> Int? {
        withBits(type) { bits in
            // Blocks without an early exit compile to vector code; only a block with a match is searched.
            let block = 4096
            for start in stride(from: 0, to: bits.count, by: block) {
                let range = start..<min(start + block, bits.count)
                var found = false
                for index in range { found = matches(bits[index]) || found }
                if found { return range.first { matches(bits[$0]) } }
            }
            return nil
        }
    }

    @inline(__always)
    private func count<Bits: FixedWidthInteger>(of type: Bits.Type, _ matches: (Bits) -> Bool) -> Int {
        withBits(type) { bits in
            var count = 0
            for value in bits { count &+= matches(value) ? 1 : 0 }
            return count
        }
    }
}

extension Checkpoint {
    /// Reads every weight and refuses those that are not finite.
    ///
    /// - Throws: `.badData` that names the tensor and the place of the first NaN or infinity in it. O(weights).
    public func checkFinite() throws {
        for name in weightNames { try checkFinite(name) }
    }

    /// Refuses a weight that is not finite: its elements, or the floating-point parts of a compressed matrix.
    ///
    /// - Throws: `.badData` that names the tensor and the place of the first NaN or infinity in it.
    public func checkFinite(_ name: String) throws {
        guard shape(of: name)?.count == 2 else { return try tensor(name).checkFinite(name, source: path) }
        let stored = try stored(name)
        if stored.format == BlockWeight.name { return try checkRows(name, BlockWeight(stored: stored)) }
        for (part, tensor) in stored.tensors.sorted(by: { $0.key < $1.key }) {
            try tensor.checkFinite(part.isEmpty ? name : "\(name).\(part)", source: path)
        }
    }

    /// Blocks have their scales among the codes: every row is decoded.
    private func checkRows(_ name: String, _ weight: BlockWeight) throws {
        let row = Tensor(uninitialized: [weight.columns])
        for index in 0..<weight.rows {
            weight.copyRow(index, into: row.basePointer.assumingMemoryBound(to: Float.self))
            guard let column = row.firstNonFiniteIndex else { continue }
            throw CoppiceError(
                .badData, source: path, field: name, "is not finite at [\(index), \(column)], expected finite weights")
        }
    }
}

extension Module {
    /// The first parameter or state tensor that is not finite; nil when all are. O(weights).
    package var firstNonFinite: String? {
        parameters.first { $0.parameter.wrappedValue.firstNonFiniteIndex != nil }?.name
            ?? stateTensors.first { $0.state.wrappedValue.firstNonFiniteIndex != nil }?.name
    }
}
