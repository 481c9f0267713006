import numpy as np
from simulators.tep import process
from simulators.tep.numerics import ROW, bind
from simulators.tep.constants import *
from simulators.tep import properties
mk=lambda n: bind(process.evaluate,properties.rows(n))
d=np.load('/work/shared/data/tep/derivative_reference.npz')
y=d['y'].T.copy(); n=y.shape[1]
w=np.repeat(np.array(CHANNEL_BASE)[:,None],n,1); w[:12]=d['walk'].T
guess=np.repeat(np.array(START_TEMPERATURES)[:,None],n,1)
dy=np.zeros((50,n)); x=np.zeros((41,n)); t=np.zeros((19,n))
ok=mk(y.shape[1])(y, d['idv'].T[:7].astype(float), w, guess, dy, x, t, True)
dy[38:]=(np.clip(d['xmv'].T,0,100)-y[38:])/(np.array(VALVE_TIME_S)[:,None]/3600)
x[22:]=t
ref=d['dydt']; kind=d['kind'].astype(str)
base=np.array([k=='base' or k.startswith('rand') for k in kind])
s=ref[base].std(0)
err=np.abs(dy.T-ref)/(np.abs(ref)+s)
print(ok.all(), err.max(), err.max(0).round(16), kind[err.max(1).argmax()])
ex=np.abs(x.T-d['xmeas'])/np.abs(d['xmeas']).clip(1e-300)
print(ex.max(0))
# scalar equality
from time import perf_counter
bad=0
for p in range(n):
    gy=d['y'][p].tolist(); gg=list(START_TEMPERATURES); dd=[0.0]*50; xx=[0.0]*41; tt=[0.0]*19
    process.evaluate(gy, d['idv'][p].astype(float).tolist(), w[:,p].tolist(), gg, dd, xx, tt, True)
    bad+= not (np.array_equal(dd[:38],dy[:38,p]) and np.array_equal(xx[:22],x[:22,p]) and tt==t[:,p].tolist())
print('bits differ',bad)
t0=perf_counter()
for _ in range(3000): process.evaluate(gy, [0.0]*7, w[:,p].tolist(), gg, dd, xx, tt, False)
print('scalar us', (perf_counter()-t0)/3000*1e6)
for n in (2,16,128,256,512,1024):
    yy=np.repeat(d['y'][:1].T,n,1); g=np.repeat(guess[:,:1],n,1);ww=np.repeat(w[:,:1],n,1);i=np.zeros((7,n))
    ev=mk(n);dy=np.zeros((50,n)); x=np.zeros((41,n)); t=np.zeros((19,n))
    t0=perf_counter()
    for _ in range(200): ev(yy,i,ww,g,dy,x,t,False)
    e=(perf_counter()-t0)/200*1e6; print(n,e,e/n)
