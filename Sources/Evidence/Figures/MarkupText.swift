import Foundation

/// Text and numbers as markup shows them.
public enum MarkupText {
    /// The text with everything escaped that has a meaning in HTML, SVG or attribute values.
    ///
    /// Characters that XML forbids (controls, U+FFFE, U+FFFF) become U+FFFD.
    public static func escaped(_ text: String) -> String {
        var result = ""
        result.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            case "\t", "\n", "\r": result.unicodeScalars.append(scalar)
            case _
            where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
                || scalar.value & 0xFFFE == 0xFFFE:
                result += "\u{FFFD}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    /// What stands for a number that is not known or not finite.
    public static let missing = "–"

    /// A number with at most `digits` significant digits, without trailing zeros: `0.3`, `12.6`, `4096`, `1.2e-05`.
    public static func number(_ value: Double, digits: Int = 4) -> String {
        guard value.isFinite else { return missing }
        if value == 0 { return "0" }
        let magnitude = abs(value)
        if magnitude >= 1000, magnitude < 1e7 { return "\(Int(value.rounded()))" }
        return String(format: "%.\(max(1, digits))g", value)
    }

    /// A number as it stands at an axis, where there is little room: `0.3`, `4096`, `10 k`, `2.5 M`.
    public static func tick(_ value: Double) -> String {
        guard value.isFinite, abs(value) >= 10_000 else { return number(value) }
        var scaled = value / 1000
        for unit in ["k", "M", "G"] {
            if abs(scaled) < 1000 { return number(scaled) + " " + unit }
            scaled /= 1000
        }
        return number(value)
    }

    /// A fraction as per cent: `49.8 %`.
    public static func percent(_ fraction: Double, places: Int = 1) -> String {
        fraction.isFinite ? String(format: "%.\(places)f %%", fraction * 100) : missing
    }

    /// A size in decimal units: `512 B`, `6.31 MB`.
    public static func bytes(_ count: Double) -> String {
        guard count.isFinite else { return missing }
        var value = count
        for unit in ["B", "kB", "MB", "GB", "TB"] {
            if abs(value) < 999.5 || unit == "TB" { return number(value, digits: 3) + " " + unit }
            value /= 1000
        }
        return missing
    }

    /// A coordinate: at most two places, always finite.
    static func coordinate(_ value: Double) -> String {
        let rounded = (value * 100).rounded() / 100
        guard rounded.isFinite, abs(rounded) < 1e6 else { return "0" }
        return rounded == rounded.rounded() ? "\(Int(rounded))" : "\(rounded)"
    }
}
