/// A share of a count as a whole number, where a hair beside a whole number means that number.
///
/// The double nearest to a decimal fraction makes 0.7 × 10 a little less than 7 and 0.28 × 100 a little more than 28;
/// such products are off by at most two units in their last place.
public enum WholeShare {
    /// ⌊share · count⌋.
    public static func down(_ share: Double, of count: Int) -> Int { whole(share, count, .down) }

    /// ⌈share · count⌉.
    public static func up(_ share: Double, of count: Int) -> Int { whole(share, count, .up) }

    private static func whole(_ share: Double, _ count: Int, _ rule: FloatingPointRoundingRule) -> Int {
        let product = share * Double(count)
        let nearest = product.rounded()
        return Int(abs(product - nearest) <= product.ulp * 2 ? nearest : product.rounded(rule))
    }
}
