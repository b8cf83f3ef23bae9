import Foundation

/// Mamba2's recurrence (state space duality) as its definition says, token by token in `Double`.
///
///     S_t = exp(-exp(A_log) dt_t) S_{t-1} + dt_t B_t x_t^T,     y_t = S_t^T C_t
///
/// for each head; heads `g H/G ..< (g + 1) H/G` share the `B` and `C` of group `g`. The readable truth
/// that `chunkSSDForward` and `chunkSSDBackward` are tested against. Arrays are `[B, T, H, P]`,
/// `[B, T, H]`, `[H]`, `[B, T, G, N]` and `[B, G, N, H / G, P]`, row-major.
public struct RecurrentSSD {
  /// Sequences, tokens, heads, channels a head, groups, state size.
  public var (batch, length, heads, headDim, groups, stateSize) = (1, 1, 1, 1, 1, 1)

  /// Describes the recurrence.
  public init(
    batch: Int, length: Int, heads: Int, headDim: Int, groups: Int, stateSize: Int
  ) {
    (self.batch, self.length, self.heads) = (batch, length, heads)
    (self.headDim, self.groups, self.stateSize) = (headDim, groups, stateSize)
  }

  /// Inputs, or gradients of them.
  public struct Arrays {
    /// Inputs `[B, T, H, P]`.
    public var x: [Double]
    /// Time steps `[B, T, H]`.
    public var dt: [Double]
    /// `A_log`, `[H]`.
    public var aLog: [Double]
    /// `B`, `[B, T, G, N]`.
    public var b: [Double]
    /// `C`, `[B, T, G, N]`.
    public var c: [Double]
    /// Initial state `[B, G, N, H / G, P]`.
    public var state: [Double]

    /// Names the arrays.
    public init(
      x: [Double], dt: [Double], aLog: [Double], b: [Double], c: [Double], state: [Double]
    ) {
      (self.x, self.dt, self.aLog) = (x, dt, aLog)
      (self.b, self.c, self.state) = (b, c, state)
    }
  }

  /// One element of the state: where it lies, and the elements of the inputs it meets at a token.
  private struct Element {
    let state, x, head, group: Int
  }

  /// Calls `body` for every element of the state of every sequence at token `t`.
  private func forEachElement(_ t: Int, _ body: (Element) -> Void) {
    let shared = heads / groups
    for b in 0..<batch {
      let token = b * length + t
      for h in 0..<heads {
        let g = h / shared
        for n in 0..<stateSize {
          let row = (((b * groups + g) * stateSize + n) * shared + h % shared) * headDim
          for p in 0..<headDim {
            body(
              Element(
                state: row + p, x: (token * heads + h) * headDim + p, head: token * heads + h,
                group: (token * groups + g) * stateSize + n))
          }
        }
      }
    }
  }

  private func rate(_ x: Arrays, _ head: Int) -> Double { -exp(x.aLog[head % heads]) }

  /// Outputs `[B, T, H, P]` and final state.
  public func forward(_ x: Arrays) -> (y: [Double], state: [Double]) {
    var y = [Double](repeating: 0, count: x.x.count)
    let states = allStates(x)
    for t in 0..<length {
      forEachElement(t) { y[$0.x] += x.c[$0.group] * states[t + 1][$0.state] }
    }
    return (y, states[length])
  }

  /// The state before the first token and after every token.
  private func allStates(_ x: Arrays) -> [[Double]] {
    var states = [x.state]
    for t in 0..<length {
      var state = states[t]
      forEachElement(t) { e in
        let dt = x.dt[e.head]
        state[e.state] =
          exp(rate(x, e.head) * dt) * state[e.state] + dt * x.b[e.group] * x.x[e.x]
      }
      states.append(state)
    }
    return states
  }

  /// Gradients of all inputs, from those of the outputs and of the final state: the adjoint of the
  /// recurrence, from the stored states.
  public func backward(_ x: Arrays, dout: [Double], dstate: [Double]) -> Arrays {
    let states = allStates(x)
    func zeros(_ values: [Double]) -> [Double] { values.map { _ in 0 } }
    var d = Arrays(
      x: zeros(x.x), dt: zeros(x.dt), aLog: zeros(x.aLog), b: zeros(x.b), c: zeros(x.c),
      state: dstate)
    for t in (0..<length).reversed() {
      forEachElement(t) { e in
        let (dt, rate) = (x.dt[e.head], rate(x, e.head))
        let decay = exp(rate * dt)
        d.c[e.group] += states[t + 1][e.state] * dout[e.x]
        let g = d.state[e.state] + x.c[e.group] * dout[e.x]
        d.b[e.group] += g * dt * x.x[e.x]
        d.x[e.x] += g * dt * x.b[e.group]
        let dlog = g * decay * states[t][e.state]
        d.dt[e.head] += g * x.b[e.group] * x.x[e.x] + dlog * rate
        d.aLog[e.head % heads] += dlog * rate * dt
        d.state[e.state] = g * decay
      }
    }
    return d
  }
}
