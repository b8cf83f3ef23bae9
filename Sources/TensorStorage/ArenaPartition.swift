import ErrorReporting

/// How the elements of an arena are divided among ranks: who sums, updates and saves which.
///
/// The arena is cut into buckets, and each bucket evenly into one part for each rank, at multiples of a
/// unit. So an exchange of any one bucket keeps all ranks busy, and a rank's share of the arena is one
/// part of every bucket.
public struct ArenaPartition: Sendable, Equatable {
  /// Sizes of buckets and units, in elements.
  public struct Grain: Sendable, Equatable {
    /// Elements of a bucket; a multiple of `unit`.
    public var bucket: Int
    /// Parts begin at multiples of this.
    public var unit: Int

    /// Names the sizes.
    ///
    /// - Precondition: both are positive, and `bucket` is a multiple of `unit`.
    public init(bucket: Int, unit: Int) {
      require(Self.isValid(bucket: bucket, unit: unit), "a bucket is a number of units")
      self.bucket = bucket
      self.unit = unit
    }

    /// Whether these can be the sizes of a grain.
    public static func isValid(bucket: Int, unit: Int) -> Bool {
      unit > 0 && bucket > 0 && bucket.isMultiple(of: unit)
    }

    /// Buckets of 16 MiB of floats, units of 16 KiB.
    ///
    /// The unit is also the block in which the gradient norm is summed: parts and blocks must agree.
    public static let standard = Grain(bucket: 1 << 22, unit: 1 << 12)
  }

  /// Elements of the arena.
  public let count: Int
  /// Ranks that share it.
  public let parts: Int
  /// Sizes of buckets and units.
  public let grain: Grain

  /// Divides `count` elements among `parts` ranks.
  ///
  /// - Precondition: there is at least one part.
  public init(count: Int, parts: Int, grain: Grain = .standard) {
    require(count >= 0 && parts >= 1, "\(count) elements in \(parts) parts")
    self.count = count
    self.parts = parts
    self.grain = grain
  }

  /// Buckets of the arena; the last one may be shorter.
  public var bucketCount: Int { (count + grain.bucket - 1) / grain.bucket }

  /// The elements of a bucket.
  public func bucket(_ index: Int) -> Range<Int> {
    (index * grain.bucket)..<min((index + 1) * grain.bucket, count)
  }

  /// The elements of a bucket that belong to a rank; empty for some when there are few units.
  public func range(of part: Int, inBucket index: Int) -> Range<Int> {
    let bucket = bucket(index)
    let units = (bucket.count + grain.unit - 1) / grain.unit
    func end(_ part: Int) -> Int {
      min(bucket.lowerBound + part * units / parts * grain.unit, bucket.upperBound)
    }
    return end(part)..<end(part + 1)
  }

  /// All elements of a rank as ascending ranges that do not touch: the whole arena for a single part.
  public func ranges(of part: Int) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    for index in 0..<bucketCount {
      let range = range(of: part, inBucket: index)
      guard !range.isEmpty else { continue }
      if let last = ranges.last, last.upperBound == range.lowerBound {
        ranges[ranges.count - 1] = last.lowerBound..<range.upperBound
      } else {
        ranges.append(range)
      }
    }
    return ranges
  }

  /// Elements of a rank.
  public func count(of part: Int) -> Int { ranges(of: part).reduce(0) { $0 + $1.count } }
}
