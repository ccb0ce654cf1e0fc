/// What elements are, by their bits, whatever their type.
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
